import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.common.requests.RequestHeader;

/** Takes both brokers through the same steps, up to the first answer that differs. */
final class Sequence {
    /** How long Kafka is asked again before its answer counts. */
    private static final long SPREAD_MS = 3000;
    /** How long an answer may take that the other broker gave already. */
    private static final long ANSWER_MS = 10_000;
    /** After so long without an answer, a request waits for others. */
    private static final long QUIET_MS = 80;

    /** Where the brokers differ. */
    record Finding(Step step, JsonNode kafka, JsonNode embedded, String request) {}

    /** A request that has no answer yet. */
    private record Waiting(Step step, RequestHeader kafka, RequestHeader embedded) {}

    private final Side kafka;
    private final Side embedded;
    private final List<Waiting> waiting = new ArrayList<>();

    Sequence(Side kafka, Side embedded) {
        this.kafka = kafka;
        this.embedded = embedded;
    }

    /** The first difference, or null. */
    Finding run(List<String> topics, List<Step> steps) throws Exception {
        kafka.beginSequence(topics);
        embedded.beginSequence(topics);
        Finding found = null;
        for (int i = 0; i < steps.size() && found == null; i++) {
            found = take(steps.get(i));
        }
        kafka.endSequence();
        embedded.endSequence();
        return found;
    }

    private Finding take(Step step) throws Exception {
        if (waiting.stream().anyMatch(one -> one.step.lane.equals(step.lane))) {
            return null;
        }
        if (step.waits) {
            waiting.add(new Waiting(step, kafka.begin(step), embedded.begin(step)));
        } else {
            Finding found = compare(step, kafka.ask(step), embedded.ask(step));
            if (found != null) {
                return found;
            }
        }
        if (step.spreads) {
            kafka.spread();
            embedded.spread();
        }
        if (step.ends != null) {
            kafka.awaitEnd(step.ends);
            embedded.awaitEnd(step.ends);
        }
        return gather();
    }

    private Finding compare(Step step, JsonNode theirs, JsonNode ours) throws Exception {
        long deadline = System.nanoTime() + SPREAD_MS * 1_000_000;
        while (step.reads && !theirs.equals(ours) && System.nanoTime() < deadline) {
            Thread.sleep(20);
            theirs = kafka.ask(step);
        }
        return theirs.equals(ours) ? null : new Finding(step, theirs, ours, kafka.show(step));
    }

    /** Takes the answers that have come to requests that wait; both brokers must have them. */
    private Finding gather() throws Exception {
        long quietSince = System.nanoTime();
        while (!waiting.isEmpty() && System.nanoTime() - quietSince < QUIET_MS * 1_000_000) {
            for (Waiting one : List.copyOf(waiting)) {
                if (!kafka.hasAnswer(one.step) && !embedded.hasAnswer(one.step)) {
                    continue;
                }
                waiting.remove(one);
                Finding found = compare(one.step, await(kafka, one.step, one.kafka), await(embedded, one.step, one.embedded));
                if (found != null) {
                    return found;
                }
                quietSince = System.nanoTime();
            }
            Thread.sleep(2);
        }
        return null;
    }

    private static JsonNode await(Side side, Step step, RequestHeader header) throws Exception {
        long deadline = System.nanoTime() + ANSWER_MS * 1_000_000;
        while (!side.hasAnswer(step)) {
            if (System.nanoTime() > deadline) {
                return NormalForm.text("no answer within " + ANSWER_MS + " ms");
            }
            Thread.sleep(2);
        }
        return side.answer(step, header);
    }
}
