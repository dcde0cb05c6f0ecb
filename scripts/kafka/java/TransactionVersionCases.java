import java.io.IOException;
import java.time.Duration;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.FinalizedVersionRange;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.message.AddPartitionsToTxnRequestData;
import org.apache.kafka.common.message.AddPartitionsToTxnResponseData;
import org.apache.kafka.common.message.EndTxnRequestData;
import org.apache.kafka.common.message.EndTxnResponseData;
import org.apache.kafka.common.message.FindCoordinatorRequestData;
import org.apache.kafka.common.message.InitProducerIdRequestData;
import org.apache.kafka.common.message.InitProducerIdResponseData;
import org.apache.kafka.common.message.ProduceRequestData;
import org.apache.kafka.common.message.ProduceResponseData;
import org.apache.kafka.common.message.TxnOffsetCommitRequestData;
import org.apache.kafka.common.message.TxnOffsetCommitResponseData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.MemoryRecords;
import org.apache.kafka.common.record.SimpleRecord;

/** The second version of transactions (KIP-890), beside the first. */
final class TransactionVersionCases {
    /** What a coordinator answers until it is there. */
    private static final Set<Errors> PASSING = Set.of(
            Errors.CONCURRENT_TRANSACTIONS,
            Errors.COORDINATOR_LOAD_IN_PROGRESS,
            Errors.COORDINATOR_NOT_AVAILABLE,
            Errors.NOT_COORDINATOR);

    private TransactionVersionCases() {}

    private static Errors error(int code) {
        return Errors.forCode((short) code);
    }

    /** A transactional id and its connection; the requests are those of the second version. */
    private static final class Client implements AutoCloseable {
        final Cluster cluster;
        final Wire wire;
        final String transaction;
        long id = -1;
        short epoch = -1;

        Client(Cluster cluster) throws Exception {
            this(cluster, 60_000);
        }

        Client(Cluster cluster, int timeoutMs) throws Exception {
            this.cluster = cluster;
            wire = new Wire(cluster);
            transaction = cluster.name("tx");
            init(timeoutMs);
        }

        InitProducerIdResponseData init(int timeoutMs) throws Exception {
            InitProducerIdRequestData request = new InitProducerIdRequestData()
                    .setTransactionalId(transaction)
                    .setTransactionTimeoutMs(timeoutMs);
            InitProducerIdResponseData answer;
            long deadline = System.nanoTime() + Duration.ofSeconds(30).toNanos();
            do {
                // To look for the coordinator is what makes Kafka create its topic.
                wire.send(
                        ApiKeys.FIND_COORDINATOR,
                        4,
                        new FindCoordinatorRequestData()
                                .setKeyType((byte) 1)
                                .setCoordinatorKeys(List.of(transaction)));
                answer = wire.send(ApiKeys.INIT_PRODUCER_ID, 5, request);
            } while (PASSING.contains(error(answer.errorCode())) && System.nanoTime() < deadline);
            Check.equal(Errors.NONE, error(answer.errorCode()), "a producer");
            id = answer.producerId();
            epoch = answer.producerEpoch();
            return answer;
        }

        Errors produce(int version, String topic, int partition, int epoch, int sequence, String value) throws Exception {
            MemoryRecords records = MemoryRecords.withTransactionalRecords(
                    Compression.NONE,
                    id,
                    (short) epoch,
                    sequence,
                    new SimpleRecord(System.currentTimeMillis(), null, value.getBytes()));
            ProduceRequestData.PartitionProduceData data =
                    new ProduceRequestData.PartitionProduceData().setIndex(partition).setRecords(records);
            ProduceRequestData request = new ProduceRequestData()
                    .setAcks((short) -1)
                    .setTimeoutMs(5000)
                    .setTransactionalId(transaction);
            request.topicData()
                    .add(new ProduceRequestData.TopicProduceData().setName(topic).setPartitionData(List.of(data)));
            Errors answer;
            do {
                ProduceResponseData response = wire.send(ApiKeys.PRODUCE, version, request);
                answer = error(
                        response.responses().iterator().next().partitionResponses().get(0).errorCode());
            } while (answer == Errors.CONCURRENT_TRANSACTIONS || answer == Errors.NOT_LEADER_OR_FOLLOWER);
            return answer;
        }

        EndTxnResponseData end(int version, int epoch, boolean commit) throws Exception {
            EndTxnRequestData request = new EndTxnRequestData()
                    .setTransactionalId(transaction)
                    .setProducerId(id)
                    .setProducerEpoch((short) epoch)
                    .setCommitted(commit);
            EndTxnResponseData answer;
            do {
                answer = wire.send(ApiKeys.END_TXN, version, request);
            } while (error(answer.errorCode()) == Errors.CONCURRENT_TRANSACTIONS);
            return answer;
        }

        void ends(int epoch, boolean commit, long id, int next, String what) throws Exception {
            EndTxnResponseData answer = end(5, epoch, commit);
            Check.equal(Errors.NONE, error(answer.errorCode()), what);
            Check.equal(id, answer.producerId(), what + ": producer id");
            Check.equal(next, (int) answer.producerEpoch(), what + ": epoch");
        }

        void refuses(Errors expected, int epoch, boolean commit, String what) throws Exception {
            EndTxnResponseData answer = end(5, epoch, commit);
            Check.equal(expected, error(answer.errorCode()), what);
            Check.equal(-1L, answer.producerId(), what + ": producer id");
            Check.equal(-1, (int) answer.producerEpoch(), what + ": epoch");
        }

        TransactionState state() throws Exception {
            return cluster.admin.describeTransactions(List.of(transaction)).description(transaction).get().state();
        }

        @Override
        public void close() throws IOException {
            wire.close();
        }
    }

    public static void the_second_version_of_transactions_is_announced(Cluster cluster) throws Exception {
        Map<String, FinalizedVersionRange> features =
                cluster.admin.describeFeatures().featureMetadata().get().finalizedFeatures();
        Check.equal((short) 2, features.get("transaction.version").maxVersionLevel(), "transaction.version");
        Check.equal((short) 1, features.get("group.version").maxVersionLevel(), "group.version");
    }

    public static void each_end_gives_the_next_epoch(Cluster cluster) throws Exception {
        String topic = cluster.topic(2);
        try (Client client = new Client(cluster)) {
            long id = client.id;
            int first = client.epoch;
            Check.equal(Errors.NONE, client.produce(12, topic, 0, first, 0, "a"), "a batch");
            Check.equal(Errors.NONE, client.produce(12, topic, 0, first, 1, "b"), "another");
            client.ends(first, true, id, first + 1, "the commit");
            client.ends(first, true, id, first + 1, "the commit again");
            client.refuses(Errors.INVALID_TXN_STATE, first, false, "another end");
            Check.equal(
                    Errors.INVALID_PRODUCER_EPOCH, client.produce(12, topic, 0, first, 2, "late"), "a late batch");
            Check.equal(
                    Errors.INVALID_PRODUCER_EPOCH,
                    client.produce(12, topic, 1, first, 0, "late"),
                    "a late batch to another partition");
            ProducerState state = cluster.admin
                    .describeProducers(List.of(new TopicPartition(topic, 0)))
                    .partitionResult(new TopicPartition(topic, 0))
                    .get()
                    .activeProducers()
                    .get(0);
            Check.equal(first + 1, state.producerEpoch(), "the epoch of the marker");
            Check.equal(Errors.NONE, client.produce(12, topic, 0, first + 1, 0, "c"), "the next transaction");
            client.refuses(Errors.PRODUCER_FENCED, first, true, "the commit again, too late");
            client.ends(first + 1, false, id, first + 2, "the abort");
            client.ends(first + 1, false, id, first + 2, "the abort again");
            client.refuses(Errors.INVALID_TXN_STATE, first + 1, true, "another end");
            client.refuses(Errors.PRODUCER_FENCED, first, true, "an older end");
            client.refuses(Errors.PRODUCER_FENCED, first + 7, true, "an end of the future");
            Check.equal(List.of("a", "b"), cluster.committed(topic), "read committed");
        }
    }

    public static void nothing_can_be_aborted_and_not_committed(Cluster cluster) throws Exception {
        try (Client client = new Client(cluster)) {
            int first = client.epoch;
            client.refuses(Errors.INVALID_TXN_STATE, first, true, "a commit of nothing");
            client.ends(first, false, client.id, first + 1, "an abort of nothing");
            Check.eventually("it is complete", () -> client.state() == TransactionState.COMPLETE_ABORT);
            client.refuses(Errors.INVALID_TXN_STATE, first + 1, true, "a commit of nothing after an abort");
            client.ends(first + 1, false, client.id, first + 2, "an abort of nothing after an abort");
            Check.equal(Errors.INVALID_TXN_STATE, error(client.end(4, first + 2, true).errorCode()), "as version 1");
            Check.equal(Errors.NONE, error(client.end(4, first + 2, false).errorCode()), "the abort, as version 1");
        }
    }

    public static void a_first_batch_of_the_second_version_has_number_0(Cluster cluster) throws Exception {
        String topic = cluster.topic(2);
        try (Client client = new Client(cluster)) {
            int epoch = client.epoch;
            Check.equal(
                    Errors.OUT_OF_ORDER_SEQUENCE_NUMBER, client.produce(12, topic, 0, epoch, 3, "x"), "a first batch");
            Check.equal(Errors.NONE, client.produce(12, topic, 0, epoch, 0, "a"), "number 0");
            Check.equal(
                    Errors.OUT_OF_ORDER_SEQUENCE_NUMBER, client.produce(12, topic, 0, epoch, 3, "x"), "after a gap");
            client.ends(epoch, true, client.id, epoch + 1, "the commit");
            Check.equal(
                    Errors.OUT_OF_ORDER_SEQUENCE_NUMBER,
                    client.produce(12, topic, 0, epoch + 1, 1, "x"),
                    "of the next transaction");
            Check.equal(List.of("a"), cluster.committed(topic), "read committed");
        }
    }

    public static void producers_of_no_such_transaction_are_refused(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        try (Client client = new Client(cluster)) {
            int epoch = client.epoch;
            Check.equal(
                    Errors.INVALID_PRODUCER_EPOCH, client.produce(12, topic, 0, epoch + 1, 0, "x"), "another epoch");
            client.id += 1000;
            Check.equal(
                    Errors.INVALID_PRODUCER_ID_MAPPING, client.produce(12, topic, 0, epoch, 0, "x"), "another's id");
            client.refuses(Errors.INVALID_PRODUCER_ID_MAPPING, epoch, true, "another's end");
            client.id -= 1000;
            Check.equal(
                    Errors.UNKNOWN_TOPIC_OR_PARTITION, client.produce(12, topic, 7, epoch, 0, "x"), "no partition");
            Check.equal(TransactionState.EMPTY, client.state(), "state");
        }
    }

    public static void an_id_moves_between_the_versions(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        try (Client client = new Client(cluster)) {
            int first = client.epoch;
            Check.equal(Errors.NONE, client.produce(12, topic, 0, first, 0, "a"), "version 2");
            client.ends(first, true, client.id, first + 1, "the commit of version 2");
            Check.equal(Errors.INVALID_TXN_STATE, client.produce(10, topic, 0, first + 1, 0, "x"), "version 1");
            Check.equal(Errors.NONE, client.produce(12, topic, 0, first + 1, 0, "b"), "version 2 again");
            Check.equal(Errors.NONE, client.produce(10, topic, 0, first + 1, 1, "c"), "version 1 in it");
            Check.equal(Errors.NONE, error(client.end(4, first + 1, true).errorCode()), "the commit of version 1");
            Check.equal(Errors.NONE, error(client.end(4, first + 1, true).errorCode()), "that commit again");
            Check.equal(Errors.NONE, client.produce(12, topic, 0, first + 1, 2, "d"), "version 2 with that epoch");
            client.ends(first + 1, true, client.id, first + 2, "its commit");
            Check.equal(
                    Errors.PRODUCER_FENCED, error(client.end(4, first + 1, true).errorCode()), "again by version 1");
            Check.equal(List.of("a", "b", "c", "d"), cluster.committed(topic), "read committed");
        }
    }

    public static void who_was_timed_out_goes_on_with_the_next_epoch(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        try (Client client = new Client(cluster, 500)) {
            int first = client.epoch;
            Check.equal(Errors.NONE, client.produce(12, topic, 0, first, 0, "lost"), "a batch");
            Check.eventually("it is aborted", () -> client.state() == TransactionState.COMPLETE_ABORT);
            Check.equal(Errors.INVALID_PRODUCER_EPOCH, client.produce(12, topic, 0, first, 1, "x"), "a late batch");
            Check.equal(Errors.PRODUCER_FENCED, error(client.end(4, first, true).errorCode()), "as version 1");
            client.refuses(Errors.INVALID_TXN_STATE, first, true, "the commit");
            client.ends(first, false, client.id, first + 1, "the abort");
            Check.equal(Errors.NONE, client.produce(12, topic, 0, first + 1, 0, "a"), "the next");
            client.ends(first + 1, true, client.id, first + 2, "its commit");
            client.init(500);
            Check.equal(first + 3, (int) client.epoch, "a new owner's epoch");
            client.refuses(Errors.PRODUCER_FENCED, first + 2, false, "an end by the old owner");
            Check.equal(List.of("a"), cluster.committed(topic), "read committed");
        }
    }

    public static void a_new_owner_fences_an_open_transaction_of_the_second_version(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        try (Client client = new Client(cluster)) {
            int first = client.epoch;
            Check.equal(Errors.NONE, client.produce(12, topic, 0, first, 0, "lost"), "a batch");
            client.init(60_000);
            Check.equal(first + 2, (int) client.epoch, "the new owner's epoch");
            client.refuses(Errors.PRODUCER_FENCED, first, false, "the abort by the old owner");
            client.refuses(Errors.PRODUCER_FENCED, first + 1, false, "an epoch that nobody has");
            Check.equal(Errors.INVALID_PRODUCER_EPOCH, client.produce(12, topic, 0, first, 1, "x"), "a late batch");
            Check.equal(List.of(), cluster.committed(topic), "read committed");
        }
    }

    public static void offsets_take_their_partition_into_the_transaction(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        String group = cluster.name("g");
        try (Client client = new Client(cluster)) {
            int epoch = client.epoch;
            for (int turn = 0; turn < 2; turn++) {
                TxnOffsetCommitRequestData.TxnOffsetCommitRequestPartition partition =
                        new TxnOffsetCommitRequestData.TxnOffsetCommitRequestPartition()
                                .setPartitionIndex(0)
                                .setCommittedOffset(5 + turn);
                TxnOffsetCommitRequestData request = new TxnOffsetCommitRequestData()
                        .setTransactionalId(client.transaction)
                        .setGroupId(group)
                        .setProducerId(client.id)
                        .setProducerEpoch((short) (epoch + turn))
                        .setTopics(List.of(new TxnOffsetCommitRequestData.TxnOffsetCommitRequestTopic()
                                .setName(topic)
                                .setPartitions(List.of(partition))));
                Errors answer;
                do {
                    TxnOffsetCommitResponseData response = client.wire.send(ApiKeys.TXN_OFFSET_COMMIT, 5, request);
                    answer = error(response.topics().get(0).partitions().get(0).errorCode());
                } while (answer == Errors.CONCURRENT_TRANSACTIONS || answer == Errors.COORDINATOR_LOAD_IN_PROGRESS);
                Check.equal(Errors.NONE, answer, "the offset");
                client.ends(epoch + turn, turn == 0, client.id, epoch + turn + 1, "the end");
                request.setProducerEpoch((short) (epoch + turn));
                TxnOffsetCommitResponseData late = client.wire.send(ApiKeys.TXN_OFFSET_COMMIT, 5, request);
                Check.equal(
                        Errors.INVALID_PRODUCER_EPOCH,
                        error(late.topics().get(0).partitions().get(0).errorCode()),
                        "a late offset");
            }
            OffsetAndMetadata committed = cluster.admin
                    .listConsumerGroupOffsets(group)
                    .partitionsToOffsetAndMetadata()
                    .get()
                    .get(new TopicPartition(topic, 0));
            Check.equal(5L, committed.offset(), "the committed offset");
        }
    }

    private static List<Errors> askAsBroker(Client client, int epoch, boolean verify, String topic, Integer... partitions)
            throws Exception {
        AddPartitionsToTxnRequestData.AddPartitionsToTxnTransaction asked =
                new AddPartitionsToTxnRequestData.AddPartitionsToTxnTransaction()
                        .setTransactionalId(client.transaction)
                        .setProducerId(client.id)
                        .setProducerEpoch((short) epoch)
                        .setVerifyOnly(verify);
        asked.topics()
                .add(new AddPartitionsToTxnRequestData.AddPartitionsToTxnTopic()
                        .setName(topic)
                        .setPartitions(List.of(partitions)));
        AddPartitionsToTxnRequestData request = new AddPartitionsToTxnRequestData();
        request.transactions().add(asked);
        AddPartitionsToTxnResponseData answer = client.wire.send(ApiKeys.ADD_PARTITIONS_TO_TXN, 5, request);
        Check.equal(Errors.NONE, error(answer.errorCode()), "the request");
        return answer.resultsByTransaction().iterator().next().topicResults().iterator().next().resultsByPartition().stream()
                .sorted(Comparator.comparingInt(
                        AddPartitionsToTxnResponseData.AddPartitionsToTxnPartitionResult::partitionIndex))
                .map(one -> error(one.partitionErrorCode()))
                .toList();
    }

    public static void brokers_ask_whether_partitions_are_in_a_transaction(Cluster cluster) throws Exception {
        String topic = cluster.topic(2);
        try (Client client = new Client(cluster)) {
            int epoch = client.epoch;
            Check.equal(
                    List.of(Errors.TRANSACTION_ABORTABLE), askAsBroker(client, epoch, true, topic, 0), "before it began");
            Check.equal(List.of(Errors.NONE), askAsBroker(client, epoch, false, topic, 0), "adding");
            Check.equal(
                    List.of(Errors.NONE, Errors.TRANSACTION_ABORTABLE),
                    askAsBroker(client, epoch, true, topic, 0, 1),
                    "one that is and one that isn't");
            Check.equal(
                    List.of(Errors.OPERATION_NOT_ATTEMPTED, Errors.UNKNOWN_TOPIC_OR_PARTITION),
                    askAsBroker(client, epoch, false, topic, 0, 9),
                    "one that there isn't");
            Check.equal(
                    List.of(Errors.PRODUCER_FENCED), askAsBroker(client, epoch + 1, true, topic, 0), "another epoch");
            client.ends(epoch, true, client.id, epoch + 1, "the end");
        }
    }

    public static void a_library_s_transactions_leave_no_epoch_behind(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        String id = cluster.name("tx");
        TopicPartition partition = new TopicPartition(topic, 0);
        try (Producer<String, String> producer = cluster.transactional(id)) {
            for (int turn = 0; turn < 5; turn++) {
                producer.beginTransaction();
                Cluster.send(producer, topic, "" + turn);
                producer.commitTransaction();
            }
        }
        ProducerState state = cluster.admin
                .describeProducers(List.of(partition))
                .partitionResult(partition)
                .get()
                .activeProducers()
                .get(0);
        Check.equal(5, state.producerEpoch(), "five ends, five epochs");
        Check.equal(5, cluster.committed(topic).size(), "records");
    }
}
