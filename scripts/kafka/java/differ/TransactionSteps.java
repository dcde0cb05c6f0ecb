import java.util.List;
import org.apache.kafka.common.message.AddOffsetsToTxnRequestData;
import org.apache.kafka.common.message.AddPartitionsToTxnRequestData;
import org.apache.kafka.common.message.DescribeTransactionsRequestData;
import org.apache.kafka.common.message.EndTxnRequestData;
import org.apache.kafka.common.message.EndTxnResponseData;
import org.apache.kafka.common.message.InitProducerIdRequestData;
import org.apache.kafka.common.message.InitProducerIdResponseData;
import org.apache.kafka.common.message.TxnOffsetCommitRequestData;
import org.apache.kafka.common.protocol.ApiKeys;

/** Transactions of both versions: the id of a transaction is its producer's name, too. */
final class TransactionSteps {
    /** From these versions on a transaction is of the second version. */
    private static final int PRODUCE_V2 = 12;
    private static final int COMMIT_V2 = 5;

    private TransactionSteps() {}

    private static String id(World world) {
        return world.prefix + "x" + world.between(0, 1);
    }

    /** Mostly the epoch that is in force. */
    private static int more(World world) {
        return world.chance(8) ? world.any(-1, 1) : 0;
    }

    static Step init(World world) {
        String id = id(world);
        int version = world.version(ApiKeys.INIT_PRODUCER_ID);
        boolean again = version >= 3 && world.chance(25);
        int more = more(world);
        int timeoutMs = world.chance(5) ? world.any(0, -1, 900_001) : 600_000;
        world.forgetSequences(id);
        return new Step(ApiKeys.INIT_PRODUCER_ID, version, known -> {
            InitProducerIdRequestData request =
                    new InitProducerIdRequestData().setTransactionalId(id).setTransactionTimeoutMs(timeoutMs);
            return again ? request.setProducerId(known.producerId(id)).setProducerEpoch(known.epoch(id, more)) : request;
        }).learn(InitProducerIdResponseData.class, (known, answer) -> {
            if (answer.errorCode() == 0) {
                known.producer(id, answer.producerId(), answer.producerEpoch());
            }
        }).ends(id);
    }

    static Step addPartitions(World world) {
        String id = id(world);
        World.Topic topic = world.topic();
        int partition = world.partition(topic);
        int more = more(world);
        // Later versions are for brokers.
        return new Step(ApiKeys.ADD_PARTITIONS_TO_TXN, world.version(ApiKeys.ADD_PARTITIONS_TO_TXN, 0, 3), known -> {
            AddPartitionsToTxnRequestData request = new AddPartitionsToTxnRequestData()
                    .setV3AndBelowTransactionalId(id)
                    .setV3AndBelowProducerId(known.producerId(id))
                    .setV3AndBelowProducerEpoch(known.epoch(id, more));
            request.v3AndBelowTopics()
                    .add(new AddPartitionsToTxnRequestData.AddPartitionsToTxnTopic()
                            .setName(topic.name)
                            .setPartitions(List.of(partition)));
            return request;
        });
    }

    static Step produce(World world) {
        String id = id(world);
        World.Topic topic = world.topic();
        int partition = world.partition(topic);
        int version = world.chance(50) ? world.version(ApiKeys.PRODUCE, PRODUCE_V2, 99) : world.version(ApiKeys.PRODUCE, 3, PRODUCE_V2 - 1);
        Batch batch = new Batch(world, true);
        batch.producer = id;
        batch.transactional = world.chance(95);
        RecordSteps.number(world, batch, topic.name + "-" + partition);
        String said = world.chance(4) ? world.any(null, world.prefix + "x1") : id;
        return RecordSteps.produce(version, batch, topic, partition, said, -1);
    }

    static Step end(World world) {
        String id = id(world);
        int version = world.version(ApiKeys.END_TXN);
        boolean commits = world.chance(65);
        int more = more(world);
        if (version >= COMMIT_V2) {
            world.forgetSequences(id);
        }
        return new Step(ApiKeys.END_TXN, version, known -> new EndTxnRequestData()
                        .setTransactionalId(id)
                        .setProducerId(known.producerId(id))
                        .setProducerEpoch(known.epoch(id, more))
                        .setCommitted(commits))
                .learn(EndTxnResponseData.class, (known, answer) -> {
                    if (version >= COMMIT_V2 && answer.errorCode() == 0) {
                        known.producer(id, answer.producerId(), answer.producerEpoch());
                    }
                })
                .ends(id);
    }

    static Step addOffsets(World world) {
        String id = id(world);
        String group = world.group();
        int more = more(world);
        return new Step(ApiKeys.ADD_OFFSETS_TO_TXN, world.version(ApiKeys.ADD_OFFSETS_TO_TXN), known -> new AddOffsetsToTxnRequestData()
                .setTransactionalId(id)
                .setProducerId(known.producerId(id))
                .setProducerEpoch(known.epoch(id, more))
                .setGroupId(group));
    }

    static Step commitOffsets(World world) {
        String id = id(world);
        String group = world.group();
        World.Topic topic = world.topic();
        int partition = world.partition(topic);
        long offset = world.between(0, 20);
        int more = more(world);
        return new Step(ApiKeys.TXN_OFFSET_COMMIT, world.version(ApiKeys.TXN_OFFSET_COMMIT), known -> new TxnOffsetCommitRequestData()
                .setTransactionalId(id)
                .setGroupId(group)
                .setProducerId(known.producerId(id))
                .setProducerEpoch(known.epoch(id, more))
                .setTopics(List.of(new TxnOffsetCommitRequestData.TxnOffsetCommitRequestTopic()
                        .setName(topic.name)
                        .setPartitions(List.of(new TxnOffsetCommitRequestData.TxnOffsetCommitRequestPartition()
                                .setPartitionIndex(partition)
                                .setCommittedOffset(offset))))));
    }

    static Step describe(World world) {
        DescribeTransactionsRequestData request = new DescribeTransactionsRequestData()
                .setTransactionalIds(List.of(world.chance(90) ? id(world) : world.prefix + "none"));
        return new Step(ApiKeys.DESCRIBE_TRANSACTIONS, world.version(ApiKeys.DESCRIBE_TRANSACTIONS), known -> request).reads();
    }
}
