import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.consumer.RoundRobinAssignor;
import org.apache.kafka.clients.consumer.StickyAssignor;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.GroupSubscribedToTopicException;
import org.apache.kafka.common.errors.RebalanceInProgressException;

/** Consumer groups. */
final class GroupCases {
    private GroupCases() {}

    /** Members of one group, polled in turn. */
    private static final class Members implements AutoCloseable {
        final Cluster cluster;
        final String group;
        final List<String> topics;
        final List<Consumer<String, String>> members = new ArrayList<>();

        Members(Cluster cluster, String... topics) {
            this.cluster = cluster;
            this.group = cluster.name("g");
            this.topics = List.of(topics);
        }

        Consumer<String, String> join(Object... settings) {
            return join(null, settings);
        }

        Consumer<String, String> join(ConsumerRebalanceListener listener, Object... settings) {
            List<Object> all = new ArrayList<>(List.of("session.timeout.ms", 6000, "heartbeat.interval.ms", 200));
            all.addAll(List.of(settings));
            Consumer<String, String> member = cluster.consumer(group, all.toArray());
            if (listener == null) {
                member.subscribe(topics);
            } else {
                member.subscribe(topics, listener);
            }
            members.add(member);
            return member;
        }

        void leave(Consumer<String, String> member) {
            members.remove(member);
            member.close();
        }

        List<Integer> sizes() {
            members.forEach(member -> member.poll(Duration.ofMillis(50)));
            return members.stream().map(member -> member.assignment().size()).sorted().collect(Collectors.toList());
        }

        /** Waits until the members own so many partitions each, and each partition has one owner. */
        void settle(Integer... sizes) throws Exception {
            int total = List.of(sizes).stream().mapToInt(Integer::intValue).sum();
            Check.eventually("shares of " + List.of(sizes), () -> {
                boolean shared = sizes().equals(List.of(sizes));
                Set<TopicPartition> owned =
                        members.stream().flatMap(m -> m.assignment().stream()).collect(Collectors.toSet());
                return shared && owned.size() == total;
            });
        }

        @Override
        public void close() {
            members.forEach(Consumer::close);
        }
    }

    private static void assignment(Cluster cluster, Class<?> assignor) throws Exception {
        String topic = cluster.topic(7);
        Object[] settings = {"partition.assignment.strategy", assignor.getName()};
        try (Members group = new Members(cluster, topic)) {
            Consumer<String, String> first = group.join(settings);
            group.settle(7);
            group.join(settings);
            group.settle(3, 4);
            group.join(settings);
            group.settle(2, 2, 3);
            group.leave(first);
            group.settle(3, 4);
        }
    }

    public static void range_assignor(Cluster cluster) throws Exception {
        assignment(cluster, RangeAssignor.class);
    }

    public static void round_robin_assignor(Cluster cluster) throws Exception {
        assignment(cluster, RoundRobinAssignor.class);
    }

    public static void sticky_assignor(Cluster cluster) throws Exception {
        assignment(cluster, StickyAssignor.class);
    }

    public static void cooperative_sticky_assignor(Cluster cluster) throws Exception {
        assignment(cluster, CooperativeStickyAssignor.class);
    }

    public static void the_broker_divides_partitions(Cluster cluster) throws Exception {
        String topic = cluster.topic(6);
        cluster.send(topic, "a");
        String name = cluster.name("g");
        Object[] settings = {"group.protocol", "consumer"};
        try (Consumer<String, String> first = cluster.consumer(name, settings)) {
            first.subscribe(List.of(topic));
            poll(first, 6);
            first.commitSync(Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(1)));
            try (Consumer<String, String> second = cluster.consumer(name, settings)) {
                second.subscribe(new SubscriptionPattern(topic));
                Check.eventually("halves", () -> {
                    first.poll(Duration.ofMillis(50));
                    second.poll(Duration.ofMillis(50));
                    return first.assignment().size() == 3 && second.assignment().size() == 3;
                });
                Check.refused(
                        () -> cluster.admin.deleteConsumerGroups(List.of(name)).all().get(),
                        GroupNotEmptyException.class);
                var group = cluster.admin.describeConsumerGroups(List.of(name)).all().get().get(name);
                Check.equal(GroupType.CONSUMER, group.type(), "type");
                Check.equal(2, group.members().size(), "members");
            }
            poll(first, 6);
        }
        Map<TopicPartition, OffsetAndMetadata> committed =
                cluster.admin.listConsumerGroupOffsets(name).partitionsToOffsetAndMetadata().get();
        Check.equal(1L, committed.values().stream().mapToLong(OffsetAndMetadata::offset).sum(), "committed");
        cluster.admin.deleteConsumerGroups(List.of(name)).all().get();
    }

    private static void poll(Consumer<String, String> member, int partitions) throws Exception {
        Check.eventually(partitions + " partitions", () -> {
            member.poll(Duration.ofMillis(50));
            return member.assignment().size() == partitions;
        });
    }

    public static void a_sticky_member_keeps_its_partitions(Cluster cluster) throws Exception {
        String topic = cluster.topic(6);
        Object[] settings = {"partition.assignment.strategy", StickyAssignor.class.getName()};
        try (Members group = new Members(cluster, topic)) {
            Consumer<String, String> first = group.join(settings);
            Consumer<String, String> second = group.join(settings);
            Consumer<String, String> third = group.join(settings);
            group.settle(2, 2, 2);
            Set<TopicPartition> kept = Set.copyOf(first.assignment());
            Set<TopicPartition> keptToo = Set.copyOf(second.assignment());
            group.leave(third);
            group.settle(3, 3);
            Check.holds(first.assignment().containsAll(kept), kept + " stays in " + first.assignment());
            Check.holds(second.assignment().containsAll(keptToo), keptToo + " stays in " + second.assignment());
        }
    }

    public static void a_static_member_comes_back_to_its_partitions(Cluster cluster) throws Exception {
        String topic = cluster.topic(4);
        List<Collection<TopicPartition>> revoked = new ArrayList<>();
        ConsumerRebalanceListener watching = new ConsumerRebalanceListener() {
            @Override
            public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
                revoked.add(partitions);
            }

            @Override
            public void onPartitionsAssigned(Collection<TopicPartition> partitions) {}
        };
        try (Members group = new Members(cluster, topic)) {
            group.join(watching, "group.instance.id", "stays");
            Consumer<String, String> goes = group.join("group.instance.id", "goes");
            group.settle(2, 2);
            Set<TopicPartition> had = new TreeSet<>(java.util.Comparator.comparing(TopicPartition::toString));
            had.addAll(goes.assignment());
            revoked.clear();
            group.leave(goes);
            group.sizes();
            Consumer<String, String> back = group.join("group.instance.id", "goes");
            group.settle(2, 2);
            Check.equal(had, Set.copyOf(back.assignment()), "its partitions");
            Check.equal(List.of(), revoked, "rebalances that the other saw");
        }
    }

    public static void a_fenced_static_member_is_told(Cluster cluster) throws Exception {
        String topic = cluster.topic(2);
        try (Members group = new Members(cluster, topic)) {
            Consumer<String, String> first = group.join("group.instance.id", "one");
            group.settle(2);
            group.members.remove(first);
            group.join("group.instance.id", "one");
            Check.eventually("the first is fenced", () -> {
                group.sizes();
                try {
                    first.poll(Duration.ofMillis(50));
                    return false;
                } catch (FencedInstanceIdException fenced) {
                    return true;
                }
            });
            group.settle(2);
            first.close();
        }
    }

    public static void a_static_member_is_removed_by_an_administrator(Cluster cluster) throws Exception {
        String topic = cluster.topic(2);
        try (Members group = new Members(cluster, topic)) {
            Consumer<String, String> removed = group.join("group.instance.id", "removed");
            group.join("group.instance.id", "stays");
            group.settle(1, 1);
            group.members.remove(removed);
            cluster.admin
                    .removeMembersFromConsumerGroup(
                            group.group, new RemoveMembersFromConsumerGroupOptions(Set.of(new MemberToRemove("removed"))))
                    .all()
                    .get();
            group.settle(2);
            removed.close();
        }
    }

    public static void a_slow_member_cannot_commit(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        cluster.send(topic, "a", "b");
        try (Members group = new Members(cluster, topic)) {
            Consumer<String, String> slow = group.join("max.poll.interval.ms", 2000);
            Cluster.take(slow, 1);
            group.members.remove(slow);
            group.join();
            group.settle(1);
            Check.refused(
                    () -> {
                        slow.commitSync(Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(1)));
                        return "committed";
                    },
                    CommitFailedException.class,
                    RebalanceInProgressException.class);
            slow.close();
        }
    }

    public static void commits_are_resumed_from_with_metadata(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        TopicPartition partition = new TopicPartition(topic, 0);
        cluster.send(topic, "a", "b", "c");
        String group = cluster.name("g");
        try (Consumer<String, String> consumer = cluster.consumer(group)) {
            consumer.subscribe(List.of(topic));
            Cluster.take(consumer, 1);
            consumer.commitSync(Map.of(partition, new OffsetAndMetadata(2, "a note")));
        }
        try (Consumer<String, String> consumer = cluster.consumer(group)) {
            consumer.subscribe(List.of(topic));
            Check.equal("c", Cluster.take(consumer, 1).get(0).value(), "the first after the commit");
            Check.equal("a note", consumer.committed(Set.of(partition)).get(partition).metadata(), "metadata");
        }
    }

    public static void offsets_of_a_group_are_deleted_when_nobody_reads(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        TopicPartition partition = new TopicPartition(topic, 0);
        try (Members group = new Members(cluster, topic)) {
            Consumer<String, String> member = group.join();
            group.settle(1);
            member.commitSync(Map.of(partition, new OffsetAndMetadata(0)));
            Check.refused(
                    () -> cluster.admin.deleteConsumerGroupOffsets(group.group, Set.of(partition)).all().get(),
                    GroupSubscribedToTopicException.class);
            group.leave(member);
            cluster.admin.deleteConsumerGroupOffsets(group.group, Set.of(partition)).all().get();
            Map<TopicPartition, OffsetAndMetadata> left =
                    cluster.admin.listConsumerGroupOffsets(group.group).partitionsToOffsetAndMetadata().get();
            Check.equal(Map.of(), left, "offsets left");
        }
    }
}
