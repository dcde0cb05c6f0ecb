import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.IntNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.message.FetchResponseData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.record.MemoryRecords;
import org.apache.kafka.common.record.Record;
import org.apache.kafka.common.record.RecordBatch;
import org.apache.kafka.common.record.TimestampType;

/**
 * An answer as a tree of all its fields, in a form that two brokers that behave alike give alike. Whatever no rule
 * here names is compared as it is.
 */
final class NormalForm {
    private static final JsonNodeFactory NODES = JsonNodeFactory.instance;
    /** Depends on load; and texts are for people. */
    private static final Set<String> LEFT_OUT = Set.of("throttleTimeMs");
    /** Whether there is a text is compared, and not what it says. */
    private static final Set<String> TEXTS = Set.of("errorMessage", "batchIndexErrorMessage");
    /** Where and what the broker is. */
    private static final Set<String> PLACES = Set.of("host", "port", "clusterId", "rack");
    /** Read from the broker's clock. */
    private static final Set<String> CLOCKS = Set.of("logAppendTimeMs", "transactionStartTimeMs", "lastTimestamp");

    /** What names an element of an array. */
    private static final List<String> TITLES = List.of(
            "name", "topic", "topicId", "groupId", "memberId", "partition", "partitionIndex", "index", "key", "transactionalId");

    private final Known known;

    NormalForm(Known known) {
        this.known = known;
    }

    JsonNode of(ApiKeys key, short version, ApiMessage answer) {
        List<List<JsonNode>> records = new ArrayList<>();
        if (answer instanceof FetchResponseData fetched) {
            fetched.responses().forEach(topic -> topic.partitions().forEach(one -> records.add(records(one))));
        }
        JsonNode tree = tree(answer, version);
        if (!records.isEmpty()) {
            Iterator<List<JsonNode>> next = records.iterator();
            tree.get("responses").forEach(topic -> topic.get("partitions").forEach(one -> {
                ((ObjectNode) one).remove("recordsSizeInBytes");
                ((ObjectNode) one).set("batches", new ArrayNode(NODES, next.next()));
            }));
        }
        if (key == ApiKeys.FETCH) {
            joinTopics((ObjectNode) tree);
        }
        JsonNode normal = normal("", tree);
        OnPurpose.apply(key, normal);
        return normal;
    }

    /** One entry for each topic: Kafka has a second one for those of its partitions that it does not know. */
    private static void joinTopics(ObjectNode tree) {
        Map<String, ObjectNode> topics = new TreeMap<>();
        tree.get("responses").forEach(topic -> {
            String name = topic.path("topic").asText() + topic.path("topicId").asText();
            ObjectNode first = topics.putIfAbsent(name, (ObjectNode) topic);
            if (first != null) {
                ((ArrayNode) first.get("partitions")).addAll((ArrayNode) topic.get("partitions"));
            }
        });
        tree.putArray("responses").addAll(topics.values());
    }

    /** Kafka's own rendering of a message, by the class that it generates beside each. */
    static JsonNode tree(ApiMessage message, short version) {
        try {
            Class<?> type = message.getClass();
            return (JsonNode) Class.forName(type.getName() + "JsonConverter")
                    .getMethod("write", type, short.class, boolean.class)
                    .invoke(null, message, version, false);
        } catch (ReflectiveOperationException problem) {
            throw new IllegalStateException("no rendering of " + message, problem);
        }
    }

    private JsonNode normal(String name, JsonNode node) {
        if (node.isObject()) {
            ObjectNode sorted = NODES.objectNode();
            Map<String, JsonNode> fields = new TreeMap<>();
            node.properties().forEach(field -> fields.put(field.getKey(), field.getValue()));
            fields.forEach((field, value) -> {
                if (!LEFT_OUT.contains(field)) {
                    sorted.set(field, normal(field, value));
                }
            });
            return sorted;
        }
        if (node.isArray()) {
            return array(name, node);
        }
        return leaf(name, node);
    }

    /** Elements name themselves, so that their order says nothing; that of batches does. */
    private JsonNode array(String name, JsonNode node) {
        List<JsonNode> elements = new ArrayList<>();
        node.forEach(element -> elements.add(normal(name, element)));
        if (!name.equals("batches")) {
            elements.sort(java.util.Comparator.comparing(NormalForm::title).thenComparing(JsonNode::toString));
        }
        return new ArrayNode(NODES, elements);
    }

    /** What an element is about, so that those that belong together stand at the same place. */
    private static String title(JsonNode element) {
        StringBuilder title = new StringBuilder();
        for (String field : TITLES) {
            if (element.hasNonNull(field)) {
                title.append(element.get(field).asText()).append(' ');
            }
        }
        return title.toString();
    }

    private JsonNode leaf(String name, JsonNode node) {
        if (TEXTS.contains(name)) {
            return node.isNull() ? node : TextNode.valueOf("a text");
        }
        if (PLACES.contains(name)) {
            return node.isNull() ? node : TextNode.valueOf("here");
        }
        if (CLOCKS.contains(name)) {
            return node.asLong() <= 0 ? node : TextNode.valueOf("a time");
        }
        return switch (name) {
            case "producerId", "currentProducerId", "ongoingTxnProducerId" ->
                TextNode.valueOf(known.producerName(node.asLong()));
            case "topicId", "topicIds" -> TextNode.valueOf(known.topicName(Uuid.fromString(node.asText())));
            case "errorCode", "partitionErrorCode" ->
                TextNode.valueOf(org.apache.kafka.common.protocol.Errors.forCode((short) node.asInt()).name());
            default -> node.isTextual() ? TextNode.valueOf(known.memberName(node.asText())) : node;
        };
    }

    // Records.

    /** Each batch and what is in it; a last one that is cut off is none to a client. */
    private List<JsonNode> records(FetchResponseData.PartitionData partition) {
        List<JsonNode> batches = new ArrayList<>();
        if (partition.records() instanceof MemoryRecords records) {
            records.batches().forEach(batch -> batches.add(batch(batch)));
        }
        return batches;
    }

    private JsonNode batch(RecordBatch batch) {
        ObjectNode node = NODES.objectNode();
        node.put("offsets", batch.baseOffset() + "-" + batch.lastOffset());
        node.put("magic", batch.magic());
        node.put("codec", batch.compressionType().name);
        node.put("leaderEpoch", batch.partitionLeaderEpoch());
        node.put("producer", known.producerName(batch.producerId()));
        node.put("producerEpoch", batch.producerEpoch());
        node.put("sequence", batch.baseSequence());
        node.put("kind", (batch.isTransactional() ? "transactional " : "") + (batch.isControlBatch() ? "control" : ""));
        node.put("deleteHorizon", batch.deleteHorizonMs().isPresent());
        boolean ownTime = batch.timestampType() == TimestampType.CREATE_TIME && !batch.isControlBatch();
        node.put("time", ownTime ? "" + batch.maxTimestamp() : batch.timestampType().name);
        ArrayNode records = node.putArray("records");
        batch.forEach(record -> records.add(record(record, ownTime)));
        return node;
    }

    private static String record(Record record, boolean ownTime) {
        StringBuilder text = new StringBuilder().append(record.offset());
        if (ownTime) {
            text.append(" @").append(record.timestamp());
        }
        text.append(' ').append(hex(record.key())).append('=').append(hex(record.value()));
        for (Header header : record.headers()) {
            text.append(' ').append(header.key()).append(':');
            text.append(header.value() == null ? "null" : new String(header.value()));
        }
        return text.toString();
    }

    /** Short values are shown; of long ones their length and a checksum. */
    private static String hex(java.nio.ByteBuffer bytes) {
        if (bytes == null) {
            return "null";
        }
        byte[] copy = new byte[bytes.remaining()];
        bytes.duplicate().get(copy);
        if (copy.length > 16) {
            return copy.length + " bytes #" + java.util.Arrays.hashCode(copy);
        }
        return java.util.HexFormat.of().formatHex(copy);
    }

    // What differs.

    /** The paths at which two trees differ, one a line. */
    static String difference(JsonNode kafka, JsonNode embedded) {
        StringBuilder lines = new StringBuilder();
        difference("", kafka, embedded, lines);
        return lines.toString();
    }

    private static void difference(String path, JsonNode kafka, JsonNode embedded, StringBuilder lines) {
        if (kafka.equals(embedded)) {
            return;
        }
        if (kafka.isArray() && embedded.isArray() && kafka.size() == embedded.size()) {
            for (int i = 0; i < kafka.size(); i++) {
                difference(path + "[" + i + "]", kafka.get(i), embedded.get(i), lines);
            }
        } else if (kafka.isObject() && embedded.isObject()) {
            Set<String> fields = new java.util.TreeSet<>();
            kafka.fieldNames().forEachRemaining(fields::add);
            embedded.fieldNames().forEachRemaining(fields::add);
            for (String field : fields) {
                difference(path + "." + field, kafka.path(field), embedded.path(field), lines);
            }
        } else {
            lines.append("    ").append(path).append(": kafka ").append(kafka).append(", embedded ").append(embedded);
            lines.append('\n');
        }
    }

    /** Every error code of an answer, wherever it stands. */
    static void errors(JsonNode node, Set<Integer> found) {
        node.properties().forEach(field -> {
            if (field.getKey().toLowerCase(java.util.Locale.ROOT).endsWith("errorcode")) {
                found.add(field.getValue().asInt());
            }
        });
        node.forEach(child -> errors(child, found));
    }

    static JsonNode text(String text) {
        return TextNode.valueOf(text);
    }

    static JsonNode number(int number) {
        return IntNode.valueOf(number);
    }
}
