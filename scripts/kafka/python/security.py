"""Who is let in and what they may do, as librdkafka meets it: cases for a broker that secure.sh started.

The cluster that a case is given is that of `root`, who may do everything.
"""

import os
import socket

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from harness import WAIT_S, Cluster, check, equal, eventually, refused, security_case, take

SCRAM = {"SCRAM-SHA-256": ScramMechanism.SCRAM_SHA_256, "SCRAM-SHA-512": ScramMechanism.SCRAM_SHA_512}


def secure_cluster(bootstrap, directory, user="root", password=None, mechanism="PLAIN", authority="ca.pem"):
    """The cluster as a user sees it; `directory` has the certificates."""
    return Cluster(
        bootstrap,
        security_protocol="SASL_SSL",
        ssl_ca_location=os.path.join(directory, authority),
        sasl_mechanism=mechanism,
        sasl_username=user,
        sasl_password=password or f"{user}-secret",
    )


def seen_by(cluster, user, **how):
    directory = os.path.dirname(cluster.common["ssl.ca.location"])
    return secure_cluster(cluster.bootstrap, directory, user, **how)


def error_of(cluster):
    """Why a client is not let in; None if it is."""
    errors = []
    producer = Producer({**cluster.common, "error_cb": errors.append})
    for _ in range(WAIT_S):
        try:
            producer.list_topics(timeout=1)
            return None
        except KafkaException:
            producer.poll(0)
        # What follows the first error is that there is no broker left.
        if errors:
            return errors[0]
    raise AssertionError(f"neither let in nor refused in {WAIT_S} s")


def new_user(cluster):
    """A user who is let in by SCRAM-SHA-256 and may do nothing."""
    user = cluster.name("u")
    set_password(cluster, user, f"{user}-secret", "SCRAM-SHA-256")
    eventually(lambda: error_of(seen_by(cluster, user, mechanism="SCRAM-SHA-256")) is None, "the user is known")
    return user


def set_password(cluster, user, password, mechanism):
    info = ScramCredentialInfo(SCRAM[mechanism], 4096)
    change = UserScramCredentialUpsertion(user, info, password.encode())
    cluster.admin.alter_user_scram_credentials([change])[user].result(WAIT_S)


def allow(cluster, user, kind, name, operation, pattern=ResourcePatternType.LITERAL):
    entry = AclBinding(kind, name, pattern, f"User:{user}", "*", operation, AclPermissionType.ALLOW)
    cluster.admin.create_acls([entry])[entry].result(WAIT_S)
    wanted = AclBindingFilter(
        ResourceType.ANY, None, ResourcePatternType.ANY, f"User:{user}", None, AclOperation.ANY, AclPermissionType.ANY
    )
    eventually(lambda: entry in cluster.admin.describe_acls(wanted).result(WAIT_S), "the entry is there")
    return entry


@security_case
def librdkafka_is_let_in_by_each_mechanism(cluster):
    topic = cluster.topic()
    user = new_user(cluster)
    set_password(cluster, user, "another", "SCRAM-SHA-512")
    allow(cluster, user, ResourceType.TOPIC, topic, AclOperation.ALL)
    cluster.produce(topic, [b"PLAIN"])
    seen_by(cluster, user, mechanism="SCRAM-SHA-256").produce(topic, [b"SCRAM-SHA-256"])
    by_512 = seen_by(cluster, user, mechanism="SCRAM-SHA-512", password="another")
    eventually(lambda: error_of(by_512) is None, "the second password is known")
    by_512.produce(topic, [b"SCRAM-SHA-512"])
    equal(cluster.values(topic), [b"PLAIN", b"SCRAM-SHA-256", b"SCRAM-SHA-512"], "values")


@security_case
def librdkafka_is_told_why_it_is_not_let_in(cluster):
    user = new_user(cluster)
    for mechanism, name in [("PLAIN", "pat"), ("PLAIN", "nobody"), ("SCRAM-SHA-256", user), ("SCRAM-SHA-512", "nobody")]:
        error = error_of(seen_by(cluster, name, mechanism=mechanism, password="guess"))
        check(error is not None, f"{name} was let in")
        equal(error.name(), "_AUTHENTICATION", f"{mechanism}: {error.str()}")
        check("uthentication failed" in error.str(), f"the reason: {error.str()}")
    stranger = error_of(seen_by(cluster, "root", authority="stranger.pem"))
    equal(stranger.name(), "_SSL", f"an authority that is not trusted: {stranger.str()}")
    check("certificate verify failed" in stranger.str(), f"the reason: {stranger.str()}")
    check(error_of(Cluster(cluster.bootstrap)) is not None, "without TLS it was let in")


@security_case
def clients_that_say_nothing_hold_up_nobody(cluster):
    host, port = cluster.bootstrap.split(":")
    silent = [socket.create_connection((host, int(port))) for _ in range(50)]
    try:
        equal(error_of(seen_by(cluster, "root")), None, "error of another client")
    finally:
        for one in silent:
            one.close()


@security_case
def librdkafka_meets_a_code_where_it_may_not(cluster):
    topic, user = cluster.topic(), new_user(cluster)
    seen = seen_by(cluster, user, mechanism="SCRAM-SHA-256")
    refused(lambda: seen.produce(topic, [b"v"]), "TOPIC_AUTHORIZATION_FAILED")
    producer = seen.producer(transactional_id=cluster.name("x"))
    refused(lambda: producer.init_transactions(WAIT_S), "TRANSACTIONAL_ID_AUTHORIZATION_FAILED")
    refused(lambda: seen.topic(), "TOPIC_AUTHORIZATION_FAILED")
    equal(set(seen.admin.list_topics(timeout=WAIT_S).topics), set(), "topics that are listed")

    allow(cluster, user, ResourceType.TOPIC, topic, AclOperation.READ)
    equal(set(seen.admin.list_topics(timeout=WAIT_S).topics), {topic}, "topics that are listed")
    consumer = seen.consumer(cluster.name("g"))
    consumer.subscribe([topic])
    message = eventually(lambda: consumer.poll(1), "an answer")
    equal(message.error().code(), KafkaError.GROUP_AUTHORIZATION_FAILED, "error")
    consumer.close()

    cluster.produce(topic, [b"v"])
    group = cluster.name("g")
    allow(cluster, user, ResourceType.GROUP, group[:-3], AclOperation.READ, ResourcePatternType.PREFIXED)
    consumer = seen.consumer(group)
    consumer.subscribe([topic])
    equal(take(consumer, 1)[0].value(), b"v", "value")
    consumer.commit(asynchronous=False)
    consumer.close()


@security_case
def a_transaction_needs_its_three_rights(cluster):
    topic, user = cluster.topic(), new_user(cluster)
    seen = seen_by(cluster, user, mechanism="SCRAM-SHA-256")
    transactional_id = cluster.name("x")
    allow(cluster, user, ResourceType.TRANSACTIONAL_ID, transactional_id, AclOperation.WRITE)
    producer = seen.producer(transactional_id=transactional_id)
    producer.init_transactions(WAIT_S)
    producer.begin_transaction()
    refused(lambda: seen.produce(topic, [b"no"], producer=producer), "TOPIC_AUTHORIZATION_FAILED")
    producer.abort_transaction(WAIT_S)

    allow(cluster, user, ResourceType.TOPIC, topic, AclOperation.WRITE)
    producer = seen.producer(transactional_id=transactional_id)
    producer.init_transactions(WAIT_S)
    producer.begin_transaction()
    seen.produce(topic, [b"yes"], producer=producer)
    consumer = seen.consumer(cluster.name("g"))
    metadata = consumer.consumer_group_metadata()
    refused(
        lambda: producer.send_offsets_to_transaction([TopicPartition(topic, 0, 1)], metadata, WAIT_S), "GROUP_AUTHORIZATION_FAILED"
    )
    consumer.close()
    producer.abort_transaction(WAIT_S)
    equal(cluster.values(topic), [], "committed values")
