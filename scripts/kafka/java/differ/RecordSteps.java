import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.DeleteRecordsRequestData;
import org.apache.kafka.common.message.DescribeProducersRequestData;
import org.apache.kafka.common.message.FetchRequestData;
import org.apache.kafka.common.message.InitProducerIdRequestData;
import org.apache.kafka.common.message.InitProducerIdResponseData;
import org.apache.kafka.common.message.ListOffsetsRequestData;
import org.apache.kafka.common.message.OffsetForLeaderEpochRequestData;
import org.apache.kafka.common.message.ProduceRequestData;
import org.apache.kafka.common.protocol.ApiKeys;

/** Records in and out, and offsets of records. */
final class RecordSteps {
    /** From this version on topics are named by ids. */
    private static final int BY_ID = 13;

    private RecordSteps() {}

    static Step produce(World world) {
        int version = world.version(ApiKeys.PRODUCE);
        Batch batch = new Batch(world, false);
        World.Topic topic = world.topic();
        int partition = world.partition(topic);
        if (batch.flaw != Batch.Flaw.OLD_MAGIC && world.chance(40)) {
            batch.producer = world.prefix + "p" + world.between(0, 1);
            number(world, batch, topic.name + "-" + partition);
        }
        Step step = produce(version, batch, topic, partition, null, world.chance(3) ? world.any(2, -2) : world.any(-1, -1, 1));
        return world.chance(4) ? silent(version, batch, topic, partition) : step;
    }

    /** Gives the batch the number that comes next, or one that is wrong. */
    static void number(World world, Batch batch, String partition) {
        int next = world.sequence(batch.producer, partition);
        int choice = world.between(1, 100);
        if (choice <= 78) {
            batch.sequence = next;
            if (batch.flaw == Batch.Flaw.NONE) {
                world.sequence(batch.producer, partition, next + batch.count());
            }
        } else if (choice <= 90) {
            batch.sequence = Math.max(0, next - world.between(1, 4));
        } else if (choice <= 95) {
            batch.sequence = next + world.between(1, 3);
        } else {
            batch.sequence = world.any(-1, Integer.MAX_VALUE, 0);
        }
        if (world.chance(6)) {
            batch.epochMore = world.any(-1, 1, 1, 2);
        }
    }

    static Step produce(int version, Batch batch, World.Topic topic, int partition, String transactionalId, int acks) {
        return new Step(ApiKeys.PRODUCE, version, known -> {
            ProduceRequestData.TopicProduceData data = new ProduceRequestData.TopicProduceData()
                    .setPartitionData(List.of(new ProduceRequestData.PartitionProduceData()
                            .setIndex(partition)
                            .setRecords(batch.build(known))));
            if (version >= BY_ID) {
                data.setTopicId(known.topicId(topic.name));
            } else {
                data.setName(topic.name);
            }
            ProduceRequestData request = new ProduceRequestData()
                    .setAcks((short) acks)
                    .setTimeoutMs(5000)
                    .setTransactionalId(transactionalId);
            request.topicData().add(data);
            return request;
        }).about(batch.toString());
    }

    private static Step silent(int version, Batch batch, World.Topic topic, int partition) {
        return produce(version, batch, topic, partition, null, 0).silent();
    }

    /** A producer's number and epoch, for one without transactions. */
    static Step initProducer(World world) {
        String producer = world.prefix + "p" + world.between(0, 1);
        int version = world.version(ApiKeys.INIT_PRODUCER_ID);
        boolean again = version >= 3 && world.chance(40);
        int more = world.any(0, 0, 1, -1);
        world.forgetSequences(producer);
        return new Step(ApiKeys.INIT_PRODUCER_ID, version, known -> {
            InitProducerIdRequestData request = new InitProducerIdRequestData().setTransactionalId(null).setTransactionTimeoutMs(1000);
            return again
                    ? request.setProducerId(known.producerId(producer)).setProducerEpoch(known.epoch(producer, more))
                    : request;
        }).learn(InitProducerIdResponseData.class, (known, answer) -> {
            if (answer.errorCode() == 0) {
                known.producer(producer, answer.producerId(), answer.producerEpoch());
            }
        });
    }

    static Step fetch(World world) {
        List<FetchRequestData.FetchTopic> topics = new ArrayList<>();
        List<World.Topic> asked = new ArrayList<>();
        boolean small = true;
        for (int more = world.any(1, 1, 2); more > 0; more--) {
            World.Topic topic = world.topic();
            if (asked.contains(topic)) {
                continue;
            }
            small &= !topic.recompresses;
            asked.add(topic);
            List<FetchRequestData.FetchPartition> partitions = new ArrayList<>();
            int first = world.partition(topic);
            for (int partition = first; partition < first + world.any(1, 1, 2); partition++) {
                partitions.add(fetchPartition(world, partition, world.any(0, 0, 1, 2, 3, 5, 8, 13, -1, 1000)));
            }
            topics.add(new FetchRequestData.FetchTopic().setPartitions(partitions));
        }
        FetchRequestData request = new FetchRequestData()
                .setMaxWaitMs(world.any(0, 0, 5))
                .setMinBytes(world.any(0, 1, 100))
                .setMaxBytes(small ? world.any(1_000_000, 1_000_000, 1, 300, 1000) : 1_000_000)
                .setIsolationLevel((byte) world.between(0, 1));
        for (FetchRequestData.FetchTopic topic : topics) {
            for (FetchRequestData.FetchPartition partition : topic.partitions()) {
                partition.setPartitionMaxBytes(small ? world.any(1_000_000, 1_000_000, 0, 100, 500) : 1_000_000);
            }
        }
        if (world.chance(3)) {
            request.setSessionEpoch(world.any(-1, 3)).setSessionId(world.any(0, 77));
        } else {
            request.setSessionEpoch(-1);
        }
        return fetch(world.version(ApiKeys.FETCH), request, topics, asked);
    }

    private static FetchRequestData.FetchPartition fetchPartition(World world, int partition, long offset) {
        return new FetchRequestData.FetchPartition()
                .setPartition(partition)
                .setFetchOffset(offset)
                .setCurrentLeaderEpoch(world.chance(4) ? world.any(0, 1, 7) : -1)
                .setPartitionMaxBytes(1_000_000);
    }

    private static Step fetch(
            int version, FetchRequestData request, List<FetchRequestData.FetchTopic> topics, List<World.Topic> asked) {
        return new Step(ApiKeys.FETCH, version, known -> {
            FetchRequestData copy = request.duplicate();
            if (version < 15) {
                copy.setReplicaId(-1);
            }
            if (version < 7) {
                copy.setSessionEpoch(-1).setSessionId(0);
            }
            List<FetchRequestData.FetchTopic> named = new ArrayList<>();
            for (int i = 0; i < topics.size(); i++) {
                FetchRequestData.FetchTopic one = topics.get(i).duplicate();
                String name = asked.get(i).name;
                named.add(version >= BY_ID ? one.setTopicId(known.topicId(name)) : one.setTopic(name).setTopicId(Uuid.ZERO_UUID));
            }
            return copy.setTopics(named);
        }).reads();
    }

    /** All that a topic has, as readers of either kind see it. */
    static Step fetchAll(World world, World.Topic topic, byte isolation) {
        List<FetchRequestData.FetchPartition> partitions = new ArrayList<>();
        for (int partition = 0; partition < Math.max(1, topic.partitions); partition++) {
            partitions.add(fetchPartition(world, partition, 0).setCurrentLeaderEpoch(-1));
        }
        FetchRequestData request = new FetchRequestData()
                .setMaxBytes(50_000_000)
                .setSessionEpoch(-1)
                .setIsolationLevel(isolation);
        return fetch(
                world.version(ApiKeys.FETCH),
                request,
                List.of(new FetchRequestData.FetchTopic().setPartitions(partitions)),
                List.of(topic));
    }

    static Step listOffsets(World world) {
        List<ListOffsetsRequestData.ListOffsetsTopic> topics = new ArrayList<>();
        for (int more = world.any(1, 1, 2); more > 0; more--) {
            World.Topic topic = world.topic();
            if (topics.stream().noneMatch(one -> one.name().equals(topic.name))) {
                topics.add(new ListOffsetsRequestData.ListOffsetsTopic()
                        .setName(topic.name)
                        .setPartitions(List.of(new ListOffsetsRequestData.ListOffsetsPartition()
                                .setPartitionIndex(world.partition(topic))
                                .setTimestamp(time(world)))));
            }
        }
        int version = world.version(ApiKeys.LIST_OFFSETS);
        ListOffsetsRequestData request = new ListOffsetsRequestData().setReplicaId(-1).setTopics(topics);
        if (version >= 2) {
            request.setIsolationLevel((byte) world.between(0, 1));
        }
        if (version >= 4 && world.chance(5)) {
            topics.get(0).partitions().get(0).setCurrentLeaderEpoch(world.any(0, 1, 5));
        }
        return new Step(ApiKeys.LIST_OFFSETS, version, known -> request).reads();
    }

    private static long time(World world) {
        return world.any(
                -1L, -2L, -3L, -4L, -5L, -6L, -7L, 0L, world.nowMs, world.nowMs - 1, world.nowMs - 999, world.nowMs - 60_000,
                world.nowMs - 60_001, world.nowMs + 1_000_000_000);
    }

    static Step deleteRecords(World world) {
        World.Topic topic = world.topic();
        DeleteRecordsRequestData request = new DeleteRecordsRequestData()
                .setTimeoutMs(5000)
                .setTopics(List.of(new DeleteRecordsRequestData.DeleteRecordsTopic()
                        .setName(topic.name)
                        .setPartitions(List.of(new DeleteRecordsRequestData.DeleteRecordsPartition()
                                .setPartitionIndex(world.partition(topic))
                                .setOffset(world.any(-1L, 0L, 1L, 2L, 3L, 5L, 1000L, -2L))))));
        return new Step(ApiKeys.DELETE_RECORDS, world.version(ApiKeys.DELETE_RECORDS), known -> request);
    }

    static Step describeProducers(World world) {
        World.Topic topic = world.topic();
        DescribeProducersRequestData request = new DescribeProducersRequestData()
                .setTopics(List.of(new DescribeProducersRequestData.TopicRequest()
                        .setName(topic.name)
                        .setPartitionIndexes(List.of(world.partition(topic)))));
        return new Step(ApiKeys.DESCRIBE_PRODUCERS, world.version(ApiKeys.DESCRIBE_PRODUCERS), known -> request).reads();
    }

    static Step leaderEpoch(World world) {
        World.Topic topic = world.topic();
        int version = world.version(ApiKeys.OFFSET_FOR_LEADER_EPOCH);
        OffsetForLeaderEpochRequestData request = new OffsetForLeaderEpochRequestData();
        if (version >= 3) {
            request.setReplicaId(-1);
        }
        request.topics()
                .add(new OffsetForLeaderEpochRequestData.OffsetForLeaderTopic()
                        .setTopic(topic.name)
                        .setPartitions(List.of(new OffsetForLeaderEpochRequestData.OffsetForLeaderPartition()
                                .setPartition(world.partition(topic))
                                .setCurrentLeaderEpoch(world.any(-1, -1, 0, 1))
                                .setLeaderEpoch(world.any(-1, 0, 1, 5)))));
        return new Step(ApiKeys.OFFSET_FOR_LEADER_EPOCH, version, known -> request).reads();
    }
}
