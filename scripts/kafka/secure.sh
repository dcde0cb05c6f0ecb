#!/usr/bin/env bash
# Starts and stops a broker that asks clients who they are: TLS on its one address, SASL by PLAIN, SCRAM-SHA-256 and
# SCRAM-SHA-512, and access control lists.
#
#   secure.sh kafka|embedded VERB DATA      with the verbs start, address, pid, stop and kill of broker.sh and
#                                           embedded.sh, and start-again for one that was started before
#
# Two users are there from the beginning: `root`, who may do everything and whose password is root-secret, and
# `pat` (pat-secret), who may do nothing. PLAIN knows no others; those of SCRAM are added through the broker.
# DATA/tls has what clients trust (ca.pem) and what has nothing to do with it (stranger.pem). Needs openssl.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
broker=${1:-}
[ $# -gt 0 ] && shift
. "$here/process.sh"

# authority NAME: a certificate that signs others, and its key.
authority() {
    openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=$1" -keyout "$1.key" -out "$1.pem"
}

# The server's certificate names its address, as clients compare it. Java wants the key as PKCS #8, in front of it.
certificates() {
    mkdir -p "$data/tls"
    (
        cd "$data/tls"
        authority ca
        authority stranger
        openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr
        printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\n' >server.ext
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 \
            -extfile server.ext -out server.pem
        openssl pkcs8 -topk8 -nocrypt -in server.key -out server.pk8
        cat server.pk8 server.pem >keystore.pem
    ) >"$data/tls.log" 2>&1 || { cat "$data/tls.log" >&2 && fail "no certificates could be made"; }
}

# The broker speaks with itself, and so as `ANONYMOUS`, on an address that clients are not told.
start_kafka() {
    local port inner controller login=org.apache.kafka.common.security
    port=$(free_port) inner=$(free_port) controller=$(free_port)
    "$here/broker.sh" start "$data" \
        "listeners=SASL_SSL://127.0.0.1:$port,PLAINTEXT://127.0.0.1:$inner,CONTROLLER://127.0.0.1:$controller" \
        "advertised.listeners=SASL_SSL://127.0.0.1:$port,PLAINTEXT://127.0.0.1:$inner" \
        "controller.quorum.voters=1@127.0.0.1:$controller" \
        "inter.broker.listener.name=PLAINTEXT" \
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer" \
        "super.users=User:root;User:ANONYMOUS" \
        "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512" \
        "listener.name.sasl_ssl.plain.sasl.jaas.config=$login.plain.PlainLoginModule required \
user_root=\"root-secret\" user_pat=\"pat-secret\";" \
        "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=$login.scram.ScramLoginModule required;" \
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=$login.scram.ScramLoginModule required;" \
        "ssl.keystore.type=PEM" "ssl.keystore.location=$data/tls/keystore.pem"
}

start_embedded() {
    "$here/embedded.sh" start "$data" --sasl --acls --super-user root \
        --tls-certificate "$data/tls/server.pem" --tls-key "$data/tls/server.key"
}

take_verb "$@"
case $broker:$verb in
    kafka:* | embedded:*) ;;
    *) fail "which broker? see the head of scripts/kafka/secure.sh" 2 ;;
esac
control=$here/broker.sh
[ "$broker" = kafka ] || control=$here/embedded.sh
if [ "$verb" = start ]; then
    command -v openssl >/dev/null || skip "there is no openssl"
    if [ -d "$data/tls" ]; then
        fail "a broker was started in $data before"
    fi
    certificates
    if [ "$broker" = embedded ]; then
        "$control" user "$data" root root-secret
        "$control" user "$data" pat pat-secret
    fi
    "start_$broker"
elif [ "$verb" = start-again ]; then
    [ -d "$data/tls" ] || fail "no broker was started in $data"
    exec "$control" start "$data"
else
    exec "$control" "$verb" "$data"
fi
