import com.fasterxml.jackson.databind.JsonNode;
import java.io.EOFException;
import java.io.IOException;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.IntStream;
import javax.net.SocketFactory;
import org.apache.kafka.common.message.ApiVersionsRequestData;
import org.apache.kafka.common.message.ApiVersionsResponseData;
import org.apache.kafka.common.message.CreateTopicsRequestData;
import org.apache.kafka.common.message.DeleteTopicsRequestData;
import org.apache.kafka.common.message.DescribeConfigsRequestData;
import org.apache.kafka.common.message.DescribeConfigsResponseData;
import org.apache.kafka.common.message.DescribeGroupsRequestData;
import org.apache.kafka.common.message.DescribeTransactionsRequestData;
import org.apache.kafka.common.message.DescribeTransactionsResponseData;
import org.apache.kafka.common.message.FindCoordinatorRequestData;
import org.apache.kafka.common.message.IncrementalAlterConfigsRequestData;
import org.apache.kafka.common.message.InitProducerIdRequestData;
import org.apache.kafka.common.message.MetadataRequestData;
import org.apache.kafka.common.message.MetadataResponseData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.requests.RequestHeader;

/** One of the two brokers: connections to it, what it chose in this sequence, and waiting until it has settled. */
final class Side implements AutoCloseable {
    /** The topic whose settings are altered to see how far news has spread. */
    private static final String PROBE = "differ-probe";
    private static final long PATIENCE_MS = 5000;
    /** Codes that tell a client to ask again, as Kafka gives them until what it decided is everywhere. */
    private static final Set<Integer> PASSING = Set.of(
            (int) Errors.COORDINATOR_LOAD_IN_PROGRESS.code(),
            (int) Errors.COORDINATOR_NOT_AVAILABLE.code(),
            (int) Errors.NOT_COORDINATOR.code(),
            (int) Errors.LEADER_NOT_AVAILABLE.code(),
            (int) Errors.NOT_LEADER_OR_FOLLOWER.code(),
            (int) Errors.CONCURRENT_TRANSACTIONS.code());
    static final JsonNode ENDED = NormalForm.text("the connection ended");

    final String name;
    private final String bootstrap;
    private final Map<String, Wire> lanes = new HashMap<>();
    private List<String> topics = List.of();
    private Known known = new Known();
    private int probes = 1;

    Side(String name, String bootstrap) throws Exception {
        this.name = name;
        this.bootstrap = bootstrap;
        CreateTopicsRequestData request = new CreateTopicsRequestData().setTimeoutMs(5000);
        request.topics()
                .add(new CreateTopicsRequestData.CreatableTopic()
                        .setName(PROBE)
                        .setNumPartitions(1)
                        .setReplicationFactor((short) 1));
        lane(Step.MAIN).send(ApiKeys.CREATE_TOPICS, 5, request);
        spread();
        for (byte type = 0; type <= 1; type++) {
            awaitCoordinators(type);
        }
        // Answers about nobody name producer 0, which must be nobody in a sequence.
        lane(Step.MAIN)
                .send(ApiKeys.INIT_PRODUCER_ID, 4, new InitProducerIdRequestData().setTransactionTimeoutMs(1000));
    }

    /** Looking for a coordinator makes its topic; all of its partitions have to be there. */
    private void awaitCoordinators(byte type) throws Exception {
        FindCoordinatorRequestData request = new FindCoordinatorRequestData().setKeyType(type);
        request.setCoordinatorKeys(IntStream.range(0, 40).mapToObj(i -> "differ-" + i).toList());
        Check.eventually(name + " has coordinators", () -> {
            ApiMessage answer = lane(Step.MAIN).send(ApiKeys.FIND_COORDINATOR, 4, request);
            return !isFailed(answer, (short) 4);
        });
        Check.eventually(name + " has loaded them", () -> {
            ApiMessage answer = type == 0
                    ? lane(Step.MAIN)
                            .send(
                                    ApiKeys.DESCRIBE_GROUPS,
                                    5,
                                    new DescribeGroupsRequestData().setGroups(request.coordinatorKeys()))
                    : lane(Step.MAIN)
                            .send(
                                    ApiKeys.DESCRIBE_TRANSACTIONS,
                                    0,
                                    new DescribeTransactionsRequestData()
                                            .setTransactionalIds(request.coordinatorKeys()));
            return !isPassing(answer, (short) (type == 0 ? 5 : 0));
        });
    }

    ApiVersionsResponseData versions() throws IOException {
        ApiVersionsRequestData request =
                new ApiVersionsRequestData().setClientSoftwareName("differ").setClientSoftwareVersion("1");
        return lane(Step.MAIN).send(ApiKeys.API_VERSIONS, 3, request);
    }

    /** Forgets what the sequence before this one did. */
    void beginSequence(List<String> topics) throws IOException {
        close();
        this.topics = topics;
        known = new Known();
    }

    /** What a sequence leaves behind would make the next ones slower. */
    void endSequence() throws Exception {
        DeleteTopicsRequestData request = new DeleteTopicsRequestData().setTimeoutMs(5000).setTopicNames(topics);
        lane(Step.MAIN).send(ApiKeys.DELETE_TOPICS, 5, request);
        close();
    }

    private Wire lane(String lane) throws IOException {
        Wire wire = lanes.get(lane);
        if (wire == null) {
            wire = new Wire(bootstrap, SocketFactory.getDefault());
            wire.setPatience(10_000);
            lanes.put(lane, wire);
        }
        return wire;
    }

    private void closeLane(String lane) throws IOException {
        try (Wire wire = lanes.remove(lane)) {
            assert wire != null;
        }
    }

    /** The answer in its normal form, when it is no longer one that tells to ask again. */
    JsonNode ask(Step step) throws Exception {
        long deadline = System.nanoTime() + PATIENCE_MS * 1_000_000;
        while (true) {
            ApiMessage answer;
            try {
                if (step.silent) {
                    return tell(step);
                }
                answer = lane(step.lane).ask(step.key, step.version, step.request.apply(known)).data();
            } catch (EOFException | SocketException ended) {
                closeLane(step.lane);
                return ENDED;
            } catch (SocketTimeoutException late) {
                closeLane(step.lane);
                return NormalForm.text("no answer");
            }
            if (!isPassing(answer, step.version) || System.nanoTime() > deadline) {
                return taken(step, answer);
            }
            Thread.sleep(10);
        }
    }

    private static boolean isPassing(ApiMessage answer, short version) {
        Set<Integer> errors = new HashSet<>();
        NormalForm.errors(NormalForm.tree(answer, version), errors);
        errors.retainAll(PASSING);
        return !errors.isEmpty();
    }

    private JsonNode taken(Step step, ApiMessage answer) {
        step.learn.accept(known, answer);
        return new NormalForm(known).of(step.key, step.version, answer);
    }

    /** Sends what has no answer, and tells whether the connection lives on. */
    private JsonNode tell(Step step) throws IOException {
        Wire wire = lane(step.lane);
        wire.begin(step.key, step.version, step.request.apply(known));
        versions();
        return NormalForm.text("the connection lives");
    }

    /** The request as this broker gets it. */
    String show(Step step) {
        return NormalForm.tree(step.request.apply(known), step.version).toString();
    }

    // Requests whose answers may wait for others.

    RequestHeader begin(Step step) throws IOException {
        return lane(step.lane).begin(step.key, step.version, step.request.apply(known));
    }

    boolean hasAnswer(Step step) throws IOException {
        return lane(step.lane).hasAnswer();
    }

    JsonNode answer(Step step, RequestHeader header) throws IOException {
        try {
            return taken(step, lane(step.lane).answer(header).data());
        } catch (EOFException | SocketException ended) {
            closeLane(step.lane);
            return ENDED;
        }
    }

    // Settling.

    /**
     * Waits until all parts of the broker know what was decided so far. Parts learn of one piece of news wholly
     * before the next one is published: whoever sees the second of two changes, which was made when the first was
     * seen, knows that all had the first.
     */
    void spread() throws Exception {
        for (int turn = 0; turn < 2; turn++) {
            String value = "" + (1_000_000_000_000L + probes++);
            IncrementalAlterConfigsRequestData.AlterConfigsResource resource =
                    new IncrementalAlterConfigsRequestData.AlterConfigsResource()
                            .setResourceType((byte) 2)
                            .setResourceName(PROBE);
            resource.configs()
                    .add(new IncrementalAlterConfigsRequestData.AlterableConfig()
                            .setName("retention.ms")
                            .setConfigOperation((byte) 0)
                            .setValue(value));
            IncrementalAlterConfigsRequestData request = new IncrementalAlterConfigsRequestData();
            request.resources().add(resource);
            Check.eventually(name + " takes a setting", () -> {
                ApiMessage answer = lane(Step.MAIN).send(ApiKeys.INCREMENTAL_ALTER_CONFIGS, 1, request);
                return !isFailed(answer, (short) 1);
            });
            Check.eventually(name + " shows a setting", () -> shown().equals(value));
        }
        learnTopics();
    }

    private static boolean isFailed(ApiMessage answer, short version) {
        Set<Integer> errors = new HashSet<>();
        NormalForm.errors(NormalForm.tree(answer, version), errors);
        return !errors.equals(Set.of(0));
    }

    private String shown() throws IOException {
        DescribeConfigsRequestData request = new DescribeConfigsRequestData()
                .setResources(List.of(new DescribeConfigsRequestData.DescribeConfigsResource()
                        .setResourceType((byte) 2)
                        .setResourceName(PROBE)
                        .setConfigurationKeys(List.of("retention.ms"))));
        DescribeConfigsResponseData answer = lane(Step.MAIN).send(ApiKeys.DESCRIBE_CONFIGS, 4, request);
        var configs = answer.results().get(0).configs();
        return configs == null || configs.isEmpty() ? "" : configs.get(0).value();
    }

    private void learnTopics() throws IOException {
        List<MetadataRequestData.MetadataRequestTopic> asked = new ArrayList<>();
        topics.forEach(topic -> asked.add(new MetadataRequestData.MetadataRequestTopic().setName(topic)));
        MetadataResponseData answer = lane(Step.MAIN)
                .send(
                        ApiKeys.METADATA,
                        10,
                        new MetadataRequestData().setAllowAutoTopicCreation(false).setTopics(asked));
        for (var topic : answer.topics()) {
            if (topic.errorCode() == 0) {
                known.topic(topic.name(), topic.topicId());
            }
        }
    }

    /** Waits until the end of a transaction is written everywhere. */
    void awaitEnd(String transactionalId) throws Exception {
        DescribeTransactionsRequestData request =
                new DescribeTransactionsRequestData().setTransactionalIds(List.of(transactionalId));
        Check.eventually(name + " ends " + transactionalId, () -> {
            DescribeTransactionsResponseData answer = lane(Step.MAIN).send(ApiKeys.DESCRIBE_TRANSACTIONS, 0, request);
            var state = answer.transactionStates().get(0);
            return !PASSING.contains((int) state.errorCode())
                    && !state.transactionState().startsWith("Prepare");
        });
    }

    @Override
    public void close() throws IOException {
        for (Wire wire : lanes.values()) {
            wire.close();
        }
        lanes.clear();
    }
}
