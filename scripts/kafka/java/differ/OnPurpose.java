import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import org.apache.kafka.common.protocol.ApiKeys;

/**
 * What the embedded log does otherwise than Kafka on purpose (docs/reference/log.md says so to users), and so is
 * left out of answers.
 */
final class OnPurpose {
    private static final short CLUSTER = 3;
    private static final short DEFAULT = 5;

    private OnPurpose() {}

    static void apply(ApiKeys key, JsonNode answer) {
        switch (key) {
            case CREATE_TOPICS -> {
                sourceOfReplicas(answer);
                answer.path("topics").forEach(OnPurpose::idOfNothing);
            }
            case DESCRIBE_CONFIGS -> sourceOfReplicas(answer);
            default -> {}
        }
    }

    /**
     * Kafka shows an id for a topic that is only validated, which no topic will have. (Ids of topics that were made are
     * compared in all later answers.)
     */
    private static void idOfNothing(JsonNode topic) {
        ((ObjectNode) topic).remove("topicId");
    }

    /**
     * Kafka's formatter sets min.insync.replicas for the whole cluster, so that it appears as set and not as a default.
     * A log without replicas has nothing to set.
     */
    private static void sourceOfReplicas(JsonNode node) {
        if (node.path("name").asText().equals("min.insync.replicas")) {
            if (node.path("configSource").asInt() == CLUSTER) {
                ((ObjectNode) node).put("configSource", DEFAULT);
            }
            if (node.path("synonyms") instanceof ArrayNode synonyms) {
                synonyms.removeIf(synonym -> synonym.path("source").asInt() == CLUSTER);
            }
        }
        node.forEach(OnPurpose::sourceOfReplicas);
    }
}
