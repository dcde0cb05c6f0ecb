import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.NoOffsetForPartitionException;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.InvalidRecordException;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidTimestampException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.record.TimestampType;

/** Producing and consuming. */
final class RecordCases {
    private static final long LONG_AGO_MS = 1_700_000_000_000L;

    private RecordCases() {}

    public static void records_come_back_in_order_with_all_they_had(Cluster cluster) throws Exception {
        String topic = cluster.topic(3, "retention.ms=-1");
        try (Producer<String, String> producer = cluster.producer("linger.ms", 5)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int i = 0; i < 999; i++) {
                ProducerRecord<String, String> record =
                        new ProducerRecord<>(topic, i % 3, LONG_AGO_MS + i, i % 2 == 0 ? null : "k" + i, "v" + i);
                record.headers().add("n", ("" + i).getBytes(StandardCharsets.UTF_8)).add("null", null);
                sent.add(producer.send(record));
            }
            for (int i = 0; i < 999; i++) {
                Check.equal((long) i / 3, sent.get(i).get().offset(), "offset told to the producer");
            }
        }
        List<ConsumerRecord<String, String>> read = cluster.read(topic, "read_committed");
        Check.equal(999, read.size(), "records");
        for (ConsumerRecord<String, String> record : read) {
            int i = (int) record.offset() * 3 + record.partition();
            Check.equal("v" + i, record.value(), "value");
            Check.equal(i % 2 == 0 ? null : "k" + i, record.key(), "key");
            Check.equal(LONG_AGO_MS + i, record.timestamp(), "time stamp");
            Check.equal(TimestampType.CREATE_TIME, record.timestampType(), "kind of time stamp");
            Check.equal("" + i, new String(record.headers().lastHeader("n").value(), StandardCharsets.UTF_8), "header");
            Check.equal(null, record.headers().lastHeader("null").value(), "header without a value");
        }
    }

    public static void all_codecs_are_carried(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        List<String> expected = new ArrayList<>();
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            try (Producer<String, String> producer = cluster.producer("compression.type", codec, "linger.ms", 20)) {
                for (int i = 0; i < 200; i++) {
                    expected.add(codec + i + "x".repeat(100));
                    producer.send(new ProducerRecord<>(topic, expected.get(expected.size() - 1)));
                }
            }
        }
        Check.equal(expected, cluster.committed(topic), "values");
    }

    public static void append_time_is_told_to_the_producer(Cluster cluster) throws Exception {
        String topic = cluster.topic(1, "message.timestamp.type=LogAppendTime");
        try (Producer<String, String> producer = cluster.producer()) {
            long before = System.currentTimeMillis();
            RecordMetadata told = producer.send(new ProducerRecord<>(topic, 0, LONG_AGO_MS, null, "v")).get();
            Check.holds(told.timestamp() >= before, "told " + told.timestamp() + ", not before " + before);
            ConsumerRecord<String, String> read = cluster.read(topic, "read_committed").get(0);
            Check.equal(TimestampType.LOG_APPEND_TIME, read.timestampType(), "kind of time stamp");
            Check.equal(told.timestamp(), read.timestamp(), "time stamp");
        }
    }

    public static void large_records_pass_up_to_the_limit(Cluster cluster) throws Exception {
        String topic = cluster.topic(1, "max.message.bytes=3000000");
        try (Producer<String, String> producer =
                cluster.producer("max.request.size", 20_000_000, "buffer.memory", 100_000_000L)) {
            Cluster.send(producer, topic, "x".repeat(1_400_000));
            Check.refused(
                    () -> producer.send(new ProducerRecord<>(topic, "x".repeat(3_100_000))).get(),
                    RecordTooLargeException.class);
        }
        Check.equal(List.of("x".repeat(1_400_000)), cluster.committed(topic), "values");
    }

    public static void offsets_are_found_by_time(Cluster cluster) throws Exception {
        String topic = cluster.topic(1, "retention.ms=-1");
        try (Producer<String, String> producer = cluster.producer()) {
            for (int i = 0; i < 5; i++) {
                producer.send(new ProducerRecord<>(topic, 0, LONG_AGO_MS + i * 10, null, "v" + i)).get();
            }
        }
        TopicPartition partition = new TopicPartition(topic, 0);
        try (Consumer<String, String> consumer = cluster.consumer(cluster.name("g"))) {
            OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(partition, LONG_AGO_MS + 11)).get(partition);
            Check.equal(2L, found.offset(), "offset");
            Check.equal(LONG_AGO_MS + 20, found.timestamp(), "its time");
            Check.equal(
                    null, consumer.offsetsForTimes(Map.of(partition, LONG_AGO_MS + 41)).get(partition), "after the last");
            Check.equal(Map.of(partition, 0L), consumer.beginningOffsets(List.of(partition)), "beginning");
            Check.equal(Map.of(partition, 5L), consumer.endOffsets(List.of(partition)), "end");
        }
    }

    public static void positions_are_sought_and_refused(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        cluster.send(topic, "a", "b", "c");
        TopicPartition partition = new TopicPartition(topic, 0);
        try (Consumer<String, String> consumer = cluster.consumer(cluster.name("g"), "auto.offset.reset", "none")) {
            consumer.assign(List.of(partition));
            Check.refused(() -> consumer.poll(Duration.ofSeconds(5)), NoOffsetForPartitionException.class);
            consumer.seek(partition, 2);
            Check.equal("c", Cluster.take(consumer, 1).get(0).value(), "value at 2");
            consumer.seek(partition, 0);
            Check.equal("a", Cluster.take(consumer, 1).get(0).value(), "value at 0");
            consumer.seek(partition, 50);
            Check.refused(
                    () -> {
                        for (int i = 0; i < 50; i++) {
                            consumer.poll(Duration.ofMillis(200));
                        }
                        return "no exception";
                    },
                    OffsetOutOfRangeException.class);
        }
    }

    public static void a_compacted_topic_refuses_records_without_key(Cluster cluster) throws Exception {
        String topic = cluster.topic(1, "cleanup.policy=compact");
        try (Producer<String, String> producer = cluster.producer()) {
            Check.refused(
                    () -> producer.send(new ProducerRecord<>(topic, null, "v")).get(), InvalidRecordException.class);
            Cluster.send(producer, topic, "v");
        }
    }

    /** Of the records of one batch, those that were good learn that they were not at fault. */
    public static void the_record_at_fault_is_told_from_those_sent_with_it(Cluster cluster) throws Exception {
        String compacted = cluster.topic(1, "cleanup.policy=compact");
        String recent = cluster.topic(1, "message.timestamp.before.max.ms=3600000");
        try (Producer<String, String> producer = cluster.producer("linger.ms", 1_000)) {
            for (String topic : List.of(compacted, recent)) {
                String key = topic.equals(compacted) ? null : "k";
                long time = topic.equals(compacted) ? System.currentTimeMillis() : LONG_AGO_MS;
                Future<?> before = producer.send(new ProducerRecord<>(topic, "k", "good"));
                Future<?> bad = producer.send(new ProducerRecord<>(topic, 0, time, key, "bad"));
                Future<?> after = producer.send(new ProducerRecord<>(topic, "k", "good"));
                Check.refused(bad::get, InvalidRecordException.class, InvalidTimestampException.class);
                for (Future<?> good : List.of(before, after)) {
                    Throwable told = Check.refused(good::get, KafkaException.class);
                    Check.equal(KafkaException.class, told.getClass(), "what a good record is told");
                }
                Check.equal(List.of(), cluster.committed(topic), "values");
            }
        }
    }

    public static void a_hundred_thousand_records_pass(Cluster cluster) throws Exception {
        String topic = cluster.topic(4);
        int count = 100_000;
        try (Producer<String, String> producer = cluster.producer("linger.ms", 5, "compression.type", "lz4")) {
            for (int i = 0; i < count; i++) {
                producer.send(new ProducerRecord<>(topic, i % 4, null, String.format("%0100d", i)));
            }
        }
        List<ConsumerRecord<String, String>> read = cluster.read(topic, "read_committed");
        int[] seen = read.stream().mapToInt(record -> Integer.parseInt(record.value())).sorted().toArray();
        Check.holds(Arrays.equals(seen, IntStream.range(0, count).toArray()), "all records, " + seen.length);
    }
}
