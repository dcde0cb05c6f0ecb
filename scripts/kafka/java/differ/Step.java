import java.util.function.BiConsumer;
import java.util.function.Function;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;

/**
 * One operation of a sequence: a request that each broker gets in its own words, since it may name what the broker
 * chose (ids of producers, members and topics).
 */
final class Step {
    /** The connection of steps that don't wait for others. */
    static final String MAIN = "main";

    final ApiKeys key;
    final short version;
    final Function<Known, ApiMessage> request;
    /** What a reader should know that the request doesn't show. */
    String about = "";
    /** Its number in the whole sequence, which it keeps when others are left out. */
    int number;
    String lane = MAIN;
    /** Changes nothing: Kafka may be asked again until its news has spread. */
    boolean reads;
    /** Changes what the controller keeps: Kafka's parts learn of it later, and are waited for. */
    boolean spreads;
    /** The answer may wait for other requests. */
    boolean waits;
    /** Wants no answer; what is compared is whether the connection lives on. */
    boolean silent;
    /** The transactional id whose transaction it may end, which is waited for. */
    String ends;
    BiConsumer<Known, ApiMessage> learn = (known, answer) -> {};

    Step(ApiKeys key, int version, Function<Known, ApiMessage> request) {
        this.key = key;
        this.version = (short) version;
        this.request = request;
    }

    Step about(String about) {
        this.about = about;
        return this;
    }

    Step reads() {
        reads = true;
        return this;
    }

    Step spreads() {
        spreads = true;
        return this;
    }

    Step waitsOn(String lane) {
        waits = true;
        this.lane = lane;
        return this;
    }

    Step silent() {
        silent = true;
        return this;
    }

    Step ends(String transactionalId) {
        ends = transactionalId;
        return this;
    }

    <T extends ApiMessage> Step learn(Class<T> type, BiConsumer<Known, T> learn) {
        this.learn = (known, answer) -> learn.accept(known, type.cast(answer));
        return this;
    }

    @Override
    public String toString() {
        return number + " " + key + " v" + version + (about.isEmpty() ? "" : " (" + about + ")");
    }
}
