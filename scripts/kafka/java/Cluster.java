import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** The cluster under test, and clients for it with settings that don't keep a case waiting. */
final class Cluster implements AutoCloseable {
    final String bootstrap;
    final Admin admin;
    /** What every client is given. */
    private final Map<String, Object> settings;

    Cluster(String bootstrap, Map<String, Object> settings) {
        this.bootstrap = bootstrap;
        this.settings = settings;
        this.admin = Admin.create(with());
    }

    @Override
    public void close() {
        admin.close(Duration.ofSeconds(1));
    }

    String name(String prefix) {
        return prefix + "-" + UUID.randomUUID().toString().substring(0, 13);
    }

    String topic(int partitions, String... config) throws Exception {
        Map<String, String> configs = new HashMap<>();
        for (String one : config) {
            configs.put(one.split("=")[0], one.split("=")[1]);
        }
        NewTopic topic = new NewTopic(name("t"), Optional.of(partitions), Optional.empty()).configs(configs);
        admin.createTopics(List.of(topic)).all().get(30, TimeUnit.SECONDS);
        return topic.name();
    }

    Producer<String, String> producer(Object... settings) {
        Map<String, Object> all = with(settings);
        all.putIfAbsent("max.block.ms", 30_000);
        return new KafkaProducer<>(all, new StringSerializer(), new StringSerializer());
    }

    Producer<String, String> transactional(String id, Object... settings) {
        List<Object> all = new ArrayList<>(List.of("transactional.id", id));
        all.addAll(List.of(settings));
        Producer<String, String> producer = producer(all.toArray());
        producer.initTransactions();
        return producer;
    }

    Consumer<String, String> consumer(String group, Object... settings) {
        Map<String, Object> all = with(settings);
        all.put("group.id", group);
        all.put("enable.auto.commit", false);
        all.putIfAbsent("auto.offset.reset", "earliest");
        all.putIfAbsent("fetch.max.wait.ms", 100);
        return new KafkaConsumer<>(all, new StringDeserializer(), new StringDeserializer());
    }

    private Map<String, Object> with(Object... settings) {
        Map<String, Object> all = new HashMap<>(this.settings);
        all.put("bootstrap.servers", bootstrap);
        for (int i = 0; i < settings.length; i += 2) {
            all.put((String) settings[i], settings[i + 1]);
        }
        return all;
    }

    /** Sends and waits for the acknowledgements. */
    static void send(Producer<String, String> producer, String topic, String... values) throws Exception {
        for (String value : values) {
            producer.send(new ProducerRecord<>(topic, value, value)).get(30, TimeUnit.SECONDS);
        }
    }

    void send(String topic, String... values) throws Exception {
        try (Producer<String, String> producer = producer()) {
            send(producer, topic, values);
        }
    }

    /** All records up to the end as it is now, in the order of partitions and offsets. */
    List<ConsumerRecord<String, String>> read(String topic, String isolation) {
        try (Consumer<String, String> consumer = consumer(name("g"), "isolation.level", isolation)) {
            List<TopicPartition> partitions = partitions(topic, consumer.partitionsFor(topic).size());
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            List<ConsumerRecord<String, String>> records = new ArrayList<>();
            long deadline = System.nanoTime() + Duration.ofSeconds(30).toNanos();
            while (ends.entrySet().stream().anyMatch(end -> consumer.position(end.getKey()) < end.getValue())) {
                Check.holds(System.nanoTime() < deadline, topic + " wasn't read to its end " + ends);
                consumer.poll(Duration.ofMillis(100)).forEach(records::add);
            }
            records.sort(Comparator.<ConsumerRecord<String, String>>comparingInt(ConsumerRecord::partition)
                    .thenComparingLong(ConsumerRecord::offset));
            return records;
        }
    }

    List<String> committed(String topic) {
        return read(topic, "read_committed").stream().map(ConsumerRecord::value).collect(Collectors.toList());
    }

    List<String> uncommitted(String topic) {
        return read(topic, "read_uncommitted").stream().map(ConsumerRecord::value).collect(Collectors.toList());
    }

    static List<TopicPartition> partitions(String topic, int count) {
        return IntStream.range(0, count).mapToObj(p -> new TopicPartition(topic, p)).collect(Collectors.toList());
    }

    /** The next records that this consumer is given. */
    static List<ConsumerRecord<String, String>> take(Consumer<String, String> consumer, int count) throws Exception {
        List<ConsumerRecord<String, String>> records = new ArrayList<>();
        Check.eventually(count + " records come", () -> {
            consumer.poll(Duration.ofMillis(200)).forEach(records::add);
            return records.size() >= count;
        });
        return records;
    }
}
