import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.AbortTransactionSpec;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.TransactionDescription;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.InvalidTxnStateException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.TransactionalIdNotFoundException;

/** Transactions. */
final class TransactionCases {
    private TransactionCases() {}

    public static void committed_is_seen_and_aborted_is_not(Cluster cluster) throws Exception {
        String topic = cluster.topic(2);
        try (Producer<String, String> producer = cluster.transactional(cluster.name("tx"))) {
            producer.beginTransaction();
            Cluster.send(producer, topic, "a", "b");
            producer.abortTransaction();
            producer.beginTransaction();
            Cluster.send(producer, topic, "c");
            Check.equal(List.of(), cluster.committed(topic), "before the commit");
            producer.commitTransaction();
        }
        Check.equal(List.of("c"), cluster.committed(topic), "read committed");
        Check.equal(3, cluster.uncommitted(topic).size(), "read uncommitted");
    }

    public static void a_second_producer_fences_the_first(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        String id = cluster.name("tx");
        try (Producer<String, String> first = cluster.transactional(id)) {
            first.beginTransaction();
            Cluster.send(first, topic, "first");
            try (Producer<String, String> second = cluster.transactional(id)) {
                second.beginTransaction();
                Cluster.send(second, topic, "second");
                second.commitTransaction();
                Check.refused(
                        () -> {
                            first.commitTransaction();
                            return "committed";
                        },
                        ProducerFencedException.class,
                        InvalidProducerEpochException.class);
            }
        }
        Check.equal(List.of("second"), cluster.committed(topic), "read committed");
    }

    public static void an_administrator_fences_producers(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        String id = cluster.name("tx");
        try (Producer<String, String> producer = cluster.transactional(id)) {
            producer.beginTransaction();
            Cluster.send(producer, topic, "open");
            cluster.admin.fenceProducers(List.of(id)).all().get();
            Check.refused(
                    () -> {
                        producer.commitTransaction();
                        return "committed";
                    },
                    ProducerFencedException.class,
                    InvalidProducerEpochException.class);
        }
        Check.equal(List.of(), cluster.committed(topic), "read committed");
    }

    public static void a_transaction_is_aborted_by_its_timeout(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        try (Producer<String, String> producer =
                cluster.transactional(cluster.name("tx"), "transaction.timeout.ms", 1500)) {
            producer.beginTransaction();
            Cluster.send(producer, topic, "late");
            cluster.send(topic, "after");
            Check.eventually("it is aborted", () -> cluster.committed(topic).equals(List.of("after")));
            Check.refused(
                    () -> {
                        producer.commitTransaction();
                        return "committed";
                    },
                    ProducerFencedException.class,
                    InvalidProducerEpochException.class,
                    InvalidTxnStateException.class);
        }
    }

    public static void a_producer_goes_on_after_an_abort(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        try (Producer<String, String> producer = cluster.transactional(cluster.name("tx"))) {
            for (int i = 0; i < 10; i++) {
                producer.beginTransaction();
                Cluster.send(producer, topic, "" + i);
                if (i % 2 == 0) {
                    producer.commitTransaction();
                } else {
                    producer.abortTransaction();
                }
            }
        }
        Check.equal(List.of("0", "2", "4", "6", "8"), cluster.committed(topic), "read committed");
    }

    public static void offsets_go_with_the_transaction(Cluster cluster) throws Exception {
        String source = cluster.topic(1);
        TopicPartition partition = new TopicPartition(source, 0);
        cluster.send(source, "a", "b", "c");
        try (Consumer<String, String> consumer = cluster.consumer(cluster.name("g"));
                Producer<String, String> producer = cluster.transactional(cluster.name("tx"))) {
            consumer.subscribe(List.of(source));
            Cluster.take(consumer, 3);
            producer.beginTransaction();
            producer.sendOffsetsToTransaction(Map.of(partition, new OffsetAndMetadata(1)), consumer.groupMetadata());
            producer.abortTransaction();
            Check.equal(null, consumer.committed(Set.of(partition)).get(partition), "offset after the abort");
            producer.beginTransaction();
            producer.sendOffsetsToTransaction(
                    Map.of(partition, new OffsetAndMetadata(2, "note")), consumer.groupMetadata());
            producer.commitTransaction();
            OffsetAndMetadata stored = consumer.committed(Set.of(partition)).get(partition);
            Check.equal(2L, stored.offset(), "offset after the commit");
            Check.equal("note", stored.metadata(), "metadata");
        }
    }

    public static void a_stale_generation_cannot_commit_offsets(Cluster cluster) throws Exception {
        String source = cluster.topic(1);
        TopicPartition partition = new TopicPartition(source, 0);
        cluster.send(source, "a");
        try (Consumer<String, String> consumer = cluster.consumer(cluster.name("g"));
                Producer<String, String> producer = cluster.transactional(cluster.name("tx"))) {
            consumer.subscribe(List.of(source));
            Cluster.take(consumer, 1);
            ConsumerGroupMetadata now = consumer.groupMetadata();
            ConsumerGroupMetadata stale = new ConsumerGroupMetadata(
                    now.groupId(), now.generationId() - 1, now.memberId(), now.groupInstanceId());
            producer.beginTransaction();
            Check.refused(
                    () -> {
                        producer.sendOffsetsToTransaction(Map.of(partition, new OffsetAndMetadata(1)), stale);
                        return "sent";
                    },
                    CommitFailedException.class);
            producer.abortTransaction();
            Check.equal(null, consumer.committed(Set.of(partition)).get(partition), "offset");
        }
    }

    public static void transactions_are_listed_and_described(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        TopicPartition partition = new TopicPartition(topic, 0);
        String id = cluster.name("tx");
        try (Producer<String, String> producer = cluster.transactional(id)) {
            producer.beginTransaction();
            Cluster.send(producer, topic, "open");
            Check.holds(
                    cluster.admin.listTransactions().all().get().stream()
                            .anyMatch(one -> one.transactionalId().equals(id) && one.state() == TransactionState.ONGOING),
                    "it is listed as ongoing");
            TransactionDescription described = cluster.admin.describeTransactions(List.of(id)).description(id).get();
            Check.equal(TransactionState.ONGOING, described.state(), "state");
            Check.equal(Set.of(partition), described.topicPartitions(), "partitions");
            Check.equal(60_000L, described.transactionTimeoutMs(), "time-out");
            ProducerState state = producers(cluster, partition).get(0);
            Check.equal(described.producerId(), state.producerId(), "producer id");
            Check.equal(0L, state.currentTransactionStartOffset().getAsLong(), "first offset");
            producer.commitTransaction();
            Check.eventually("it is complete", () -> cluster.admin.describeTransactions(List.of(id)).description(id).get()
                            .state() == TransactionState.COMPLETE_COMMIT);
            Check.holds(
                    producers(cluster, partition).get(0).currentTransactionStartOffset().isEmpty(), "nothing is open");
        }
        Check.refused(
                () -> cluster.admin.describeTransactions(List.of("missing")).description("missing").get(),
                TransactionalIdNotFoundException.class);
    }

    private static List<ProducerState> producers(Cluster cluster, TopicPartition partition) throws Exception {
        return cluster.admin.describeProducers(List.of(partition)).partitionResult(partition).get().activeProducers();
    }

    public static void an_administrator_aborts_a_transaction(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        TopicPartition partition = new TopicPartition(topic, 0);
        try (Producer<String, String> producer = cluster.transactional(cluster.name("tx"))) {
            producer.beginTransaction();
            Cluster.send(producer, topic, "hanging");
            ProducerState state = producers(cluster, partition).get(0);
            cluster.admin
                    .abortTransaction(new AbortTransactionSpec(
                            partition, state.producerId(), (short) state.producerEpoch(), state.coordinatorEpoch().orElse(0)))
                    .all()
                    .get();
            cluster.send(topic, "after");
            Check.equal(List.of("after"), cluster.committed(topic), "read committed");
        } catch (KafkaException closing) {
            // The producer's own end of the transaction may be refused now.
            System.err.println("closing the producer: " + closing);
        }
    }
}
