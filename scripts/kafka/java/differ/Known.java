import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.common.Uuid;

/**
 * What one broker chose in this sequence, under the names by which steps speak of it. A step that asks for what was
 * never told, since the step before it failed or was left out, gets something that no broker has.
 */
final class Known {
    /** Nothing that a sequence does takes a broker so far. */
    private static final long NO_PRODUCER = 900_000_000L;

    private final Map<String, Long> producerIds = new HashMap<>();
    private final Map<String, Short> epochs = new HashMap<>();
    private final Map<String, String> members = new HashMap<>();
    private final Map<String, Integer> generations = new HashMap<>();
    private final Map<String, Uuid> topicIds = new HashMap<>();
    /** From what the broker says to the name that steps have for it. */
    private final Map<Long, String> producerNames = new HashMap<>();
    private final Map<String, String> memberNames = new HashMap<>();
    private final Map<Uuid, String> topicNames = new HashMap<>();

    void producer(String name, long id, short epoch) {
        producerIds.put(name, id);
        epochs.put(name, epoch);
        producerNames.putIfAbsent(id, name + "#" + producerNames.size());
    }

    long producerId(String name) {
        return producerIds.getOrDefault(name, NO_PRODUCER);
    }

    short epoch(String name, int more) {
        return (short) (epochs.getOrDefault(name, (short) 0) + more);
    }

    String producerName(long id) {
        return id == -1 ? "none" : id >= NO_PRODUCER ? "nobody" : producerNames.getOrDefault(id, "unheard of");
    }

    void member(String name, String id) {
        if (!id.isEmpty()) {
            members.put(name, id);
            memberNames.putIfAbsent(id, name + "#" + memberNames.size());
        }
    }

    String member(String name) {
        return members.getOrDefault(name, "");
    }

    /** The name for a member's id, or the text itself. */
    String memberName(String id) {
        return memberNames.getOrDefault(id, id);
    }

    void setGeneration(String group, int generation) {
        generations.put(group, generation);
    }

    int generation(String group, int more) {
        return generations.getOrDefault(group, 0) + more;
    }

    void topic(String name, Uuid id) {
        topicIds.put(name, id);
        topicNames.putIfAbsent(id, name + "#" + topicNames.size());
    }

    /** The newest id of a topic of this name, deleted or not. */
    Uuid topicId(String name) {
        return topicIds.getOrDefault(name, new Uuid(7, name.hashCode()));
    }

    String topicName(Uuid id) {
        return id.equals(Uuid.ZERO_UUID) ? "none" : topicNames.getOrDefault(id, "unheard of");
    }
}
