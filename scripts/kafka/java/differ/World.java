import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.kafka.common.protocol.ApiKeys;

/**
 * What the generator believes that the steps drawn so far have made, so that most further ones mean something. It
 * knows no answers: a sequence is the same whatever the brokers say, and whichever of its steps are left out.
 */
final class World {
    /** A topic, which may have been deleted or never made. */
    static final class Topic {
        final String name;
        int partitions;
        boolean exists;
        /** Batches may be compressed anew, so that their sizes differ. */
        boolean recompresses;

        Topic(String name) {
            this.name = name;
        }
    }

    final Random random;
    /** Shared by both brokers: times of records stand around it. */
    final long nowMs;
    final String prefix;
    final List<Topic> topics = new ArrayList<>();
    private final Map<ApiKeys, short[]> versions;
    /** The next sequence number of a producer in a partition. */
    private final Map<String, Integer> sequences = new HashMap<>();

    World(long seed, String prefix, long nowMs, Map<ApiKeys, short[]> versions) {
        this.random = new Random(seed);
        this.prefix = prefix;
        this.nowMs = nowMs;
        this.versions = versions;
        for (int i = 0; i < 4; i++) {
            topics.add(new Topic(prefix + "t" + i));
        }
    }

    /** One of the versions that both brokers serve. */
    short version(ApiKeys key) {
        return version(key, 0, Short.MAX_VALUE);
    }

    short version(ApiKeys key, int from, int to) {
        short[] both = versions.get(key);
        int low = Math.max(from, both[0]);
        int high = Math.min(to, both[1]);
        // The newest is what clients use most.
        return (short) (chance(30) ? high : between(low, high));
    }

    boolean chance(int percent) {
        return random.nextInt(100) < percent;
    }

    int between(int low, int high) {
        return low + random.nextInt(high - low + 1);
    }

    @SafeVarargs
    final <T> T any(T... choices) {
        return choices[random.nextInt(choices.length)];
    }

    <T> T any(List<T> choices) {
        return choices.get(random.nextInt(choices.size()));
    }

    /** Mostly one that exists. */
    Topic topic() {
        List<Topic> existing = topics.stream().filter(topic -> topic.exists).toList();
        return existing.isEmpty() || chance(4) ? any(topics) : any(existing);
    }

    /** Mostly one that the topic has. */
    int partition(Topic topic) {
        return chance(4) ? any(-1, 5, 77) : between(0, Math.max(0, topic.partitions - 1));
    }

    String group() {
        return prefix + "g" + between(0, 2);
    }

    int sequence(String producer, String partition) {
        return sequences.getOrDefault(producer + " " + partition, 0);
    }

    void sequence(String producer, String partition, int next) {
        sequences.put(producer + " " + partition, next);
    }

    void forgetSequences(String producer) {
        sequences.keySet().removeIf(key -> key.startsWith(producer + " "));
    }

    /** So many topics that exist, or fewer. */
    List<String> topicNames() {
        return topics.stream().map(topic -> topic.name).toList();
    }
}
