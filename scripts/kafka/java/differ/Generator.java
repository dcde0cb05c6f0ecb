import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

/** Draws a sequence from its seed. */
final class Generator {
    /** A kind of step, and how often it comes in sequences of one theme and of another. */
    private record Kind(int weight, Function<World, Step> draw) {}

    private static final List<Kind> RECORDS = List.of(
            new Kind(4, TopicSteps::create),
            new Kind(2, TopicSteps::delete),
            new Kind(2, TopicSteps::grow),
            new Kind(5, TopicSteps::alter),
            new Kind(3, TopicSteps::describeConfigs),
            new Kind(3, TopicSteps::metadata),
            new Kind(2, TopicSteps::describePartitions),
            new Kind(30, RecordSteps::produce),
            new Kind(6, RecordSteps::initProducer),
            new Kind(18, RecordSteps::fetch),
            new Kind(12, RecordSteps::listOffsets),
            new Kind(3, RecordSteps::deleteRecords),
            new Kind(3, RecordSteps::describeProducers),
            new Kind(3, RecordSteps::leaderEpoch));

    private static final List<Kind> TRANSACTIONS = List.of(
            new Kind(8, TransactionSteps::init),
            new Kind(12, TransactionSteps::addPartitions),
            new Kind(30, TransactionSteps::produce),
            new Kind(14, TransactionSteps::end),
            new Kind(6, TransactionSteps::addOffsets),
            new Kind(8, TransactionSteps::commitOffsets),
            new Kind(4, TransactionSteps::describe),
            new Kind(3, RecordSteps::produce),
            new Kind(12, RecordSteps::fetch),
            new Kind(5, RecordSteps::listOffsets),
            new Kind(5, RecordSteps::describeProducers),
            new Kind(4, OffsetSteps::fetch),
            new Kind(1, TopicSteps::delete),
            new Kind(1, TopicSteps::create));

    private static final List<Kind> OFFSETS = List.of(
            new Kind(20, OffsetSteps::commit),
            new Kind(14, OffsetSteps::fetch),
            new Kind(5, OffsetSteps::delete),
            new Kind(3, OffsetSteps::deleteGroup),
            new Kind(3, OffsetSteps::describe),
            new Kind(2, TopicSteps::delete),
            new Kind(3, TopicSteps::create),
            new Kind(3, TransactionSteps::init),
            new Kind(5, TransactionSteps::addOffsets),
            new Kind(6, TransactionSteps::commitOffsets),
            new Kind(4, TransactionSteps::end));

    private static final List<List<Kind>> THEMES = List.of(RECORDS, TRANSACTIONS, OFFSETS);

    private Generator() {}

    /** The steps, numbered from 1; what they leave behind is looked at in the last ones. */
    static List<Step> draw(World world, long seed, int length) {
        List<Step> steps = new ArrayList<>();
        steps.add(TopicSteps.createPlain(world, world.topics.get(0), world.between(1, 2)));
        steps.add(TopicSteps.createPlain(world, world.topics.get(1), 1));
        List<Kind> theme = THEMES.get(Math.floorMod(seed, THEMES.size()));
        int sum = theme.stream().mapToInt(Kind::weight).sum();
        while (steps.size() < length) {
            int place = world.random.nextInt(sum);
            for (Kind kind : theme) {
                place -= kind.weight;
                if (place < 0) {
                    steps.add(kind.draw.apply(world));
                    break;
                }
            }
        }
        for (World.Topic topic : world.topics) {
            steps.add(RecordSteps.fetchAll(world, topic, (byte) 0));
            steps.add(RecordSteps.fetchAll(world, topic, (byte) 1));
        }
        for (int i = 0; i < 3; i++) {
            steps.add(OffsetSteps.fetch(world, world.prefix + "g" + i, null));
        }
        for (int i = 0; i < steps.size(); i++) {
            steps.get(i).number = i + 1;
        }
        return steps;
    }
}
