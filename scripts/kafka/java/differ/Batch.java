import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.MemoryRecords;
import org.apache.kafka.common.record.MemoryRecordsBuilder;
import org.apache.kafka.common.record.RecordBatch;
import org.apache.kafka.common.record.SimpleRecord;
import org.apache.kafka.common.record.TimestampType;

/** A batch of records as a producer sends it, drawn at random; the same bytes for both brokers but for the producer. */
final class Batch {
    /** What can be wrong with one. */
    enum Flaw {
        NONE, CHECKSUM, CUT_OFF, OLD_MAGIC, TWO, NO_BYTES, COUNT, BASE_OFFSET, CONTROL, APPEND_TIME, OLD_TIME, FUTURE_TIME,
        LARGE, TRAILING, LEADER_EPOCH
    }

    final Flaw flaw;
    final List<SimpleRecord> records = new ArrayList<>();
    private final String codec;
    private final byte magic;
    /** The producer's name, or null. */
    String producer;
    int epochMore;
    int sequence = RecordBatch.NO_SEQUENCE;
    boolean transactional;

    Batch(World world, boolean sound) {
        flaw = sound || world.chance(80) ? Flaw.NONE : world.any(Flaw.values());
        codec = world.any("none", "none", "none", "gzip", "snappy", "lz4", "zstd");
        magic = (byte) (flaw == Flaw.OLD_MAGIC ? world.between(0, 1) : 2);
        for (int count = world.any(1, 1, 1, 2, 3, 5); count > 0; count--) {
            records.add(record(world));
        }
    }

    private SimpleRecord record(World world) {
        long time = world.nowMs - world.any(0, 0, 1, 5, 1000, 60_000, 3_600_000) * (long) world.between(1, 3);
        if (flaw == Flaw.OLD_TIME) {
            time = world.any(-1L, 0L, 1_000_000L, world.nowMs - 200_000L);
        } else if (flaw == Flaw.FUTURE_TIME) {
            time = world.nowMs + 10_000_000L;
        }
        byte[] key = world.chance(30) ? null : bytes(world, world.any(0, 1, 3));
        byte[] value = world.chance(15) ? null : bytes(world, flaw == Flaw.LARGE ? 1_100_000 : world.any(0, 1, 10, 100, 500));
        Header[] headers = world.chance(80) || magic < 2
                ? new Header[0]
                : new Header[] {new RecordHeader("h", world.chance(30) ? null : bytes(world, 3)), new RecordHeader("", new byte[0])};
        return new SimpleRecord(time, key, value, headers);
    }

    private static byte[] bytes(World world, int length) {
        byte[] bytes = new byte[length];
        for (int i = 0; i < length; i++) {
            bytes[i] = (byte) (length > 1000 ? world.between('a', 'z') : world.between('a', 'e'));
        }
        return bytes;
    }

    int count() {
        return records.size();
    }

    MemoryRecords build(Known known) {
        ByteBuffer bytes = bytes(known);
        switch (flaw) {
            case CHECKSUM -> bytes.put(bytes.limit() - 1, (byte) (bytes.get(bytes.limit() - 1) ^ 1));
            case CUT_OFF -> bytes.limit(bytes.limit() - 1);
            case NO_BYTES -> bytes.limit(0);
            case TWO -> bytes = twice(bytes);
            case COUNT -> rewrite(bytes, 57, bytes.getInt(57) + 1);
            case BASE_OFFSET -> bytes.putLong(0, 7);
            case LEADER_EPOCH -> bytes.putInt(12, 42);
            case TRAILING -> bytes = withMore(bytes);
            default -> {}
        }
        return MemoryRecords.readableRecords(bytes);
    }

    private ByteBuffer bytes(Known known) {
        long id = producer == null ? RecordBatch.NO_PRODUCER_ID : known.producerId(producer);
        short epoch = producer == null ? RecordBatch.NO_PRODUCER_EPOCH : known.epoch(producer, epochMore);
        TimestampType type = flaw == Flaw.APPEND_TIME && magic > 0 ? TimestampType.LOG_APPEND_TIME : TimestampType.CREATE_TIME;
        Compression compression = magic < 2 && codec.equals("zstd") ? Compression.NONE : Compression.of(codec).build();
        MemoryRecordsBuilder builder = MemoryRecords.builder(
                ByteBuffer.allocate(2048),
                magic,
                compression,
                type,
                0,
                type == TimestampType.LOG_APPEND_TIME ? records.get(0).timestamp() : RecordBatch.NO_TIMESTAMP,
                id,
                (short) Math.max(0, epoch),
                Math.max(0, sequence),
                transactional && magic == 2,
                false,
                RecordBatch.NO_PARTITION_LEADER_EPOCH);
        records.forEach(builder::append);
        ByteBuffer bytes = builder.build().buffer();
        ByteBuffer copy = ByteBuffer.allocate(bytes.remaining());
        copy.put(bytes).flip();
        if (magic == 2 && producer != null) {
            copy.putInt(53, sequence);
            copy.putShort(51, epoch);
            sign(copy);
        }
        if (flaw == Flaw.CONTROL) {
            rewriteAttributes(copy, (short) (copy.getShort(21) | 0x20));
        }
        return copy;
    }

    private static void rewrite(ByteBuffer bytes, int place, int value) {
        bytes.putInt(place, value);
        sign(bytes);
    }

    private static void rewriteAttributes(ByteBuffer bytes, short attributes) {
        bytes.putShort(21, attributes);
        sign(bytes);
    }

    /** The checksum covers all from the attributes on. */
    private static void sign(ByteBuffer bytes) {
        java.util.zip.CRC32C checksum = new java.util.zip.CRC32C();
        checksum.update(bytes.duplicate().position(21));
        bytes.putInt(17, (int) checksum.getValue());
    }

    private static ByteBuffer twice(ByteBuffer bytes) {
        ByteBuffer both = ByteBuffer.allocate(bytes.remaining() * 2);
        return both.put(bytes.duplicate()).put(bytes.duplicate()).flip();
    }

    private static ByteBuffer withMore(ByteBuffer bytes) {
        return ByteBuffer.allocate(bytes.remaining() + 5).put(bytes.duplicate()).put(new byte[5]).flip();
    }

    @Override
    public String toString() {
        return (flaw == Flaw.NONE ? "" : flaw + " ") + count() + " records, " + codec
                + (producer == null ? "" : ", producer " + producer + " epoch+" + epochMore + " sequence " + sequence)
                + (transactional ? ", transactional" : "");
    }
}
