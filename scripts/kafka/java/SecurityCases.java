import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.UserScramCredentialDeletion;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AccessControlEntryFilter;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.errors.ClusterAuthorizationException;
import org.apache.kafka.common.errors.GroupAuthorizationException;
import org.apache.kafka.common.errors.InvalidRequestException;
import org.apache.kafka.common.errors.ResourceNotFoundException;
import org.apache.kafka.common.errors.SaslAuthenticationException;
import org.apache.kafka.common.errors.SslAuthenticationException;
import org.apache.kafka.common.errors.TopicAuthorizationException;
import org.apache.kafka.common.errors.TransactionalIdAuthorizationException;
import org.apache.kafka.common.message.ApiVersionsRequestData;
import org.apache.kafka.common.message.ApiVersionsResponseData;
import org.apache.kafka.common.message.MetadataRequestData;
import org.apache.kafka.common.message.SaslAuthenticateRequestData;
import org.apache.kafka.common.message.SaslAuthenticateResponseData;
import org.apache.kafka.common.message.SaslHandshakeRequestData;
import org.apache.kafka.common.message.SaslHandshakeResponseData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourcePatternFilter;
import org.apache.kafka.common.resource.ResourceType;

/** Who is let in, and what access control lists are. */
final class SecurityCases {
    private SecurityCases() {}

    // Who is let in.

    public static void each_mechanism_lets_in_who_has_the_password(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        String user = Secrets.user(cluster);
        allow(cluster, user, ResourceType.TOPIC, topic, PatternType.LITERAL, AclOperation.ALL);
        for (String mechanism : List.of("SCRAM-SHA-256", "SCRAM-SHA-512")) {
            try (Cluster as = Secrets.as(cluster, mechanism, user, Secrets.password(user))) {
                as.send(topic, mechanism);
            }
        }
        try (Cluster as = Secrets.as(cluster, "PLAIN", Secrets.ROOT, Secrets.password(Secrets.ROOT))) {
            as.send(topic, "PLAIN");
        }
        Check.equal(List.of("SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"), cluster.committed(topic), "records");
    }

    public static void another_password_is_refused_with_a_reason(Cluster cluster) throws Exception {
        String user = Secrets.user(cluster);
        for (String[] one : new String[][] {
            {"PLAIN", Secrets.PAT, "guess"},
            {"PLAIN", "nobody", Secrets.password("nobody")},
            {"SCRAM-SHA-256", user, "guess"},
            {"SCRAM-SHA-512", user, "guess"},
            {"SCRAM-SHA-256", "nobody", Secrets.password("nobody")},
        }) {
            try (Cluster as = Secrets.as(cluster, one[0], one[1], one[2])) {
                Throwable thrown = Check.refused(
                        () -> as.admin.describeCluster().nodes().get(), SaslAuthenticationException.class);
                String reason = one[0].equals("PLAIN")
                        ? "Authentication failed: Invalid username or password"
                        : "Authentication failed during authentication due to invalid credentials with SASL mechanism "
                                + one[0];
                Check.equal(reason, thrown.getMessage(), "reason");
            }
        }
    }

    public static void an_unknown_mechanism_is_refused_with_those_that_there_are(Cluster cluster) throws Exception {
        for (String mechanism : List.of("GSSAPI", "", "plain")) {
            try (Wire wire = Secrets.wire(cluster)) {
                SaslHandshakeResponseData answer =
                        wire.send(ApiKeys.SASL_HANDSHAKE, 1, new SaslHandshakeRequestData().setMechanism(mechanism));
                Check.equal(
                        Errors.UNSUPPORTED_SASL_MECHANISM, Errors.forCode(answer.errorCode()), "`" + mechanism + "`");
                Check.equal(
                        Set.of("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"), Set.copyOf(answer.mechanisms()), "mechanisms");
                Check.holds(wire.isEnded(), "the connection ends");
            }
        }
    }

    public static void nothing_is_served_before_the_password(Cluster cluster) throws Exception {
        MetadataRequestData metadata = new MetadataRequestData().setTopics(null);
        try (Wire wire = Secrets.wire(cluster)) {
            ApiVersionsResponseData versions = wire.send(
                    ApiKeys.API_VERSIONS,
                    3,
                    new ApiVersionsRequestData().setClientSoftwareName("test").setClientSoftwareVersion("1"));
            Check.equal(Errors.NONE, Errors.forCode(versions.errorCode()), "versions may be asked for");
            wire.ask(ApiKeys.SASL_HANDSHAKE, 1, new SaslHandshakeRequestData().setMechanism("PLAIN"));
            Check.holds(ends(wire, ApiKeys.METADATA, 12, metadata), "in the middle of the exchange");
        }
        try (Wire wire = Secrets.wire(cluster)) {
            Check.holds(ends(wire, ApiKeys.METADATA, 12, metadata), "at the beginning");
        }
        try (Wire wire = Secrets.wire(cluster)) {
            SaslAuthenticateRequestData early =
                    new SaslAuthenticateRequestData().setAuthBytes("\0root\0root-secret".getBytes());
            Check.holds(ends(wire, ApiKeys.SASL_AUTHENTICATE, 2, early), "a password without a mechanism");
        }
    }

    /** Whether the answer to the request is the connection's end, or an error and then the end. */
    private static boolean ends(Wire wire, ApiKeys key, int version, org.apache.kafka.common.protocol.ApiMessage body)
            throws Exception {
        try {
            var counts = wire.ask(key, version, body).errorCounts();
            // An answer about topics has no other place for its error than its topics, and so shows none.
            Check.holds(Set.of(Errors.ILLEGAL_SASL_STATE).containsAll(counts.keySet()), "errors " + counts);
            return wire.isEnded();
        } catch (java.io.EOFException | java.net.SocketException ended) {
            return true;
        }
    }

    public static void noise_in_place_of_a_password_is_refused(Cluster cluster) throws Exception {
        String[] tokens = {"", "\0", "\0\0", "\0root", "root\0root-secret", "\0root\0root-secret\0", "n,,n=root", "\0\1\2"};
        for (String mechanism : List.of("PLAIN", "SCRAM-SHA-256")) {
            for (String token : tokens) {
                try (Wire wire = Secrets.wire(cluster)) {
                    wire.ask(ApiKeys.SASL_HANDSHAKE, 1, new SaslHandshakeRequestData().setMechanism(mechanism));
                    SaslAuthenticateResponseData answer = wire.send(
                            ApiKeys.SASL_AUTHENTICATE,
                            2,
                            new SaslAuthenticateRequestData().setAuthBytes(token.getBytes(StandardCharsets.UTF_8)));
                    Check.equal(
                            Errors.SASL_AUTHENTICATION_FAILED,
                            Errors.forCode(answer.errorCode()),
                            mechanism + " with " + token.replace('\0', '0'));
                    Check.holds(wire.isEnded(), "the connection ends");
                }
            }
        }
    }

    public static void somebody_else_cannot_be_acted_for(Cluster cluster) throws Exception {
        String token = "root\0pat\0pat-secret";
        try (Wire wire = Secrets.wire(cluster)) {
            wire.ask(ApiKeys.SASL_HANDSHAKE, 1, new SaslHandshakeRequestData().setMechanism("PLAIN"));
            SaslAuthenticateResponseData answer = wire.send(
                    ApiKeys.SASL_AUTHENTICATE, 2, new SaslAuthenticateRequestData().setAuthBytes(token.getBytes()));
            Check.equal(Errors.SASL_AUTHENTICATION_FAILED, Errors.forCode(answer.errorCode()), "error");
        }
    }

    public static void a_client_that_does_not_trust_the_certificate_leaves(Cluster cluster) throws Exception {
        Map<String, Object> settings = new HashMap<>(
                Secrets.settings("PLAIN", Secrets.ROOT, Secrets.password(Secrets.ROOT)));
        settings.putAll(Secrets.trusting("stranger.pem"));
        try (Cluster as = new Cluster(cluster.bootstrap, settings)) {
            Check.refused(() -> as.admin.describeCluster().nodes().get(), SslAuthenticationException.class);
        }
        Check.equal(1, cluster.admin.describeCluster().nodes().get().size(), "others are served");
    }

    public static void what_is_not_tls_ends_its_own_connection(Cluster cluster) throws Exception {
        byte[] versions = {0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 9, 0, 0};
        String[] address = cluster.bootstrap.split(":");
        for (byte[] bytes : new byte[][] {versions, "GET / HTTP/1.1\r\n\r\n".getBytes(), new byte[] {22, 3, 1, -1, -1, 1}}) {
            try (Socket socket = new Socket(address[0], Integer.parseInt(address[1]))) {
                socket.setSoTimeout(30_000);
                socket.getOutputStream().write(bytes);
                socket.shutdownOutput();
                // At most an alert of TLS comes before the end.
                byte[] answer = socket.getInputStream().readNBytes(1000);
                Check.holds(answer.length < 100, answer.length + " bytes of answer");
            } catch (java.net.SocketException reset) {
                // It ended before all was read.
            }
            Check.equal(1, cluster.admin.describeCluster().nodes().get().size(), "others are served");
        }
    }

    public static void a_plaintext_client_gets_nowhere(Cluster cluster) throws Exception {
        Map<String, Object> settings = Map.of("request.timeout.ms", 3000, "default.api.timeout.ms", 3000);
        try (Cluster as = new Cluster(cluster.bootstrap, settings)) {
            Check.refused(
                    () -> as.admin.describeCluster().nodes().get(), org.apache.kafka.common.errors.TimeoutException.class);
        }
    }

    // Users.

    public static void a_changed_password_holds_for_who_comes_next(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        String user = Secrets.user(cluster);
        allow(cluster, user, ResourceType.TOPIC, topic, PatternType.LITERAL, AclOperation.ALL);
        try (Cluster before = Secrets.as(cluster, user);
                Producer<String, String> producer = before.producer()) {
            Cluster.send(producer, topic, "a");
            Secrets.set(cluster, user, ScramMechanism.SCRAM_SHA_256, "another");
            Check.eventually("the old password is refused", () -> isRefused(cluster, user, Secrets.password(user)));
            try (Cluster after = Secrets.as(cluster, "SCRAM-SHA-256", user, "another")) {
                after.send(topic, "b");
            }
            try (Cluster other = Secrets.as(cluster, "SCRAM-SHA-512", user, Secrets.password(user))) {
                other.send(topic, "c");
            }
            UserScramCredentialDeletion deletion =
                    new UserScramCredentialDeletion(user, ScramMechanism.SCRAM_SHA_256);
            cluster.admin.alterUserScramCredentials(List.of(deletion)).all().get();
            Check.eventually("a deleted password is refused", () -> isRefused(cluster, user, "another"));
            Check.refused(
                    () -> cluster.admin.alterUserScramCredentials(List.of(deletion)).all().get(),
                    ResourceNotFoundException.class);
            // Who is in stays in.
            Cluster.send(producer, topic, "d");
        }
        Check.equal(List.of("a", "b", "c", "d"), cluster.committed(topic), "records");
    }

    private static boolean isRefused(Cluster cluster, String user, String password) throws Exception {
        try (Cluster as = Secrets.as(cluster, "SCRAM-SHA-256", user, password)) {
            as.admin.describeCluster().nodes().get();
            return false;
        } catch (java.util.concurrent.ExecutionException thrown) {
            return thrown.getCause() instanceof SaslAuthenticationException;
        }
    }

    public static void users_are_described_with_their_mechanisms(Cluster cluster) throws Exception {
        String user = Secrets.user(cluster);
        var described = cluster.admin.describeUserScramCredentials(List.of(user)).all().get().get(user);
        Check.equal(
                Set.of("SCRAM_SHA_256 4096", "SCRAM_SHA_512 4096"),
                described.credentialInfos().stream()
                        .map(info -> info.mechanism() + " " + info.iterations())
                        .collect(Collectors.toSet()),
                "credentials");
        Check.holds(
                cluster.admin.describeUserScramCredentials().all().get().containsKey(user), "it is among all users");
        Check.refused(
                () -> cluster.admin.describeUserScramCredentials(List.of("nobody")).description("nobody").get(),
                ResourceNotFoundException.class);
    }

    // Access control lists.

    static void allow(
            Cluster cluster, String user, ResourceType kind, String name, PatternType pattern, AclOperation operation)
            throws Exception {
        add(cluster, binding(user, kind, name, pattern, operation, AclPermissionType.ALLOW));
    }

    private static AclBinding binding(
            String user,
            ResourceType kind,
            String name,
            PatternType pattern,
            AclOperation operation,
            AclPermissionType permission) {
        return new AclBinding(
                new ResourcePattern(kind, name, pattern),
                new AccessControlEntry("User:" + user, "*", operation, permission));
    }

    private static void add(Cluster cluster, AclBinding binding) throws Exception {
        cluster.admin.createAcls(List.of(binding)).all().get();
        Check.eventually("the entry is there", () -> entries(cluster, binding.toFilter()).contains(binding));
    }

    private static Collection<AclBinding> entries(Cluster cluster, AclBindingFilter filter) throws Exception {
        return cluster.admin.describeAcls(filter).values().get();
    }

    public static void what_a_client_is_told_when_it_may_not(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        String user = Secrets.user(cluster);
        try (Cluster as = Secrets.as(cluster, user)) {
            try (Producer<String, String> producer = as.producer("enable.idempotence", false)) {
                Check.refused(() -> producer.send(new ProducerRecord<>(topic, "v")).get(), TopicAuthorizationException.class);
            }
            try (Producer<String, String> producer = as.producer()) {
                Check.refused(
                        () -> producer.send(new ProducerRecord<>(topic, "v")).get(),
                        TopicAuthorizationException.class,
                        ClusterAuthorizationException.class);
            }
            try (Producer<String, String> producer = as.producer("transactional.id", as.name("x"))) {
                Check.refused(
                        () -> {
                            producer.initTransactions();
                            return null;
                        },
                        TransactionalIdAuthorizationException.class);
            }
            try (Consumer<String, String> consumer = as.consumer(as.name("g"))) {
                consumer.subscribe(List.of(topic));
                Check.refused(() -> poll(consumer), TopicAuthorizationException.class);
            }
            allow(cluster, user, ResourceType.TOPIC, topic, PatternType.LITERAL, AclOperation.READ);
            try (Consumer<String, String> consumer = as.consumer(as.name("g"))) {
                consumer.subscribe(List.of(topic));
                Check.refused(() -> poll(consumer), GroupAuthorizationException.class);
            }
            Check.refused(() -> as.topic(1), TopicAuthorizationException.class);
            Check.refused(() -> as.admin.deleteTopics(List.of(topic)).all().get(), TopicAuthorizationException.class);
            Check.refused(
                    () -> as.admin.describeAcls(AclBindingFilter.ANY).values().get(), ClusterAuthorizationException.class);
            Check.equal(Set.of(topic), as.admin.listTopics().names().get(), "topics that are listed");
        }
    }

    /** Polls until records come or it is refused. */
    private static Object poll(Consumer<String, String> consumer) {
        long deadline = System.nanoTime() + Duration.ofSeconds(20).toNanos();
        while (System.nanoTime() < deadline) {
            var records = consumer.poll(Duration.ofMillis(200));
            if (!records.isEmpty()) {
                return records;
            }
        }
        return "nothing in 20 s";
    }

    public static void a_right_that_is_taken_away_is_gone_for_who_is_in(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        String user = Secrets.user(cluster);
        AclBinding read = binding(
                user, ResourceType.TOPIC, topic, PatternType.LITERAL, AclOperation.READ, AclPermissionType.ALLOW);
        add(cluster, read);
        allow(cluster, user, ResourceType.GROUP, user, PatternType.PREFIXED, AclOperation.READ);
        cluster.send(topic, "a");
        try (Cluster as = Secrets.as(cluster, user);
                Consumer<String, String> consumer = as.consumer(user + "-g")) {
            consumer.subscribe(List.of(topic));
            Check.equal(1, Cluster.take(consumer, 1).size(), "what may be read");
            cluster.admin.deleteAcls(List.of(read.toFilter())).all().get();
            // A fetch that waits since before (fetch.max.wait.ms) was allowed, and is answered.
            Thread.sleep(1_000);
            cluster.send(topic, "b");
            Check.refused(() -> poll(consumer), TopicAuthorizationException.class);
        }
    }

    public static void a_prefix_opens_what_begins_with_it_and_a_denial_closes(Cluster cluster) throws Exception {
        String user = Secrets.user(cluster);
        String prefix = cluster.name("p");
        allow(cluster, user, ResourceType.TOPIC, prefix, PatternType.PREFIXED, AclOperation.ALL);
        add(
                cluster,
                binding(
                        user,
                        ResourceType.TOPIC,
                        prefix + "-closed",
                        PatternType.PREFIXED,
                        AclOperation.ALL,
                        AclPermissionType.DENY));
        add(
                cluster,
                binding("*", ResourceType.TOPIC, prefix + "-w", PatternType.LITERAL, AclOperation.WRITE,
                        AclPermissionType.DENY));
        for (String suffix : List.of("", "-open", "-closed", "-closed-too", "-w")) {
            cluster.admin
                    .createTopics(List.of(new org.apache.kafka.clients.admin.NewTopic(prefix + suffix, 1, (short) 1)))
                    .all()
                    .get();
        }
        try (Cluster as = Secrets.as(cluster, user)) {
            Check.equal(
                    Set.of(prefix, prefix + "-open", prefix + "-w"), as.admin.listTopics().names().get(), "topics");
            as.send(prefix, "a");
            as.send(prefix + "-open", "a");
            for (String suffix : List.of("-closed", "-closed-too", "-w")) {
                Check.refused(() -> {
                    as.send(prefix + suffix, "a");
                    return null;
                }, TopicAuthorizationException.class);
            }
            Check.equal(List.of(), as.committed(prefix + "-w"), "it may be read");
        }
    }

    public static void entries_for_a_host_hold_for_that_host(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        String user = Secrets.user(cluster);
        ResourcePattern pattern = new ResourcePattern(ResourceType.TOPIC, topic, PatternType.LITERAL);
        AclBinding elsewhere = new AclBinding(
                pattern,
                new AccessControlEntry("User:" + user, "10.1.2.3", AclOperation.WRITE, AclPermissionType.ALLOW));
        AclBinding here = new AclBinding(
                pattern,
                new AccessControlEntry("User:" + user, "127.0.0.1", AclOperation.WRITE, AclPermissionType.ALLOW));
        try (Cluster as = Secrets.as(cluster, user)) {
            add(cluster, elsewhere);
            Check.refused(() -> {
                as.send(topic, "a");
                return null;
            }, TopicAuthorizationException.class, ClusterAuthorizationException.class);
            add(cluster, here);
            as.send(topic, "a");
        }
    }

    public static void entries_are_found_and_deleted_by_filters(Cluster cluster) throws Exception {
        String user = cluster.name("u");
        String name = cluster.name("t");
        AclPermissionType allow = AclPermissionType.ALLOW;
        AclBinding one = binding(user, ResourceType.TOPIC, name, PatternType.LITERAL, AclOperation.READ, allow);
        AclBinding two = binding(user, ResourceType.TOPIC, name, PatternType.PREFIXED, AclOperation.WRITE, allow);
        AclBinding three = binding(user, ResourceType.GROUP, name, PatternType.LITERAL, AclOperation.READ, allow);
        AclBinding all = binding(user, ResourceType.TOPIC, "*", PatternType.LITERAL, AclOperation.DESCRIBE,
                AclPermissionType.DENY);
        cluster.admin.createAcls(List.of(one, two, three, all)).all().get();
        // Twice is once.
        cluster.admin.createAcls(List.of(one)).all().get();
        AccessControlEntryFilter own =
                new AccessControlEntryFilter("User:" + user, null, AclOperation.ANY, AclPermissionType.ANY);
        Check.eventually("all are there", () -> entries(
                cluster, new AclBindingFilter(ResourcePatternFilter.ANY, own)).size() == 4);
        Check.equal(Set.of(one, two, all), found(cluster, ResourceType.TOPIC, name, PatternType.MATCH, own), "about it");
        Check.equal(
                Set.of(two, all), found(cluster, ResourceType.TOPIC, name + "-x", PatternType.MATCH, own), "about more");
        Check.equal(Set.of(one, two), found(cluster, ResourceType.TOPIC, name, PatternType.ANY, own), "of its name");
        Check.equal(Set.of(one), found(cluster, ResourceType.TOPIC, name, PatternType.LITERAL, own), "literally");
        Check.equal(Set.of(one, three), found(cluster, ResourceType.ANY, name, PatternType.LITERAL, own), "all kinds");
        Check.equal(Set.of(one, two, three, all), found(cluster, ResourceType.ANY, null, PatternType.ANY, own), "all");
        AccessControlEntryFilter writing =
                new AccessControlEntryFilter("User:" + user, "*", AclOperation.WRITE, AclPermissionType.ALLOW);
        Check.equal(Set.of(two), found(cluster, ResourceType.ANY, null, PatternType.ANY, writing), "that write");
        AclBindingFilter deleted = new AclBindingFilter(
                new ResourcePatternFilter(ResourceType.TOPIC, name, PatternType.MATCH), own);
        var gone = cluster.admin.deleteAcls(List.of(deleted, deleted)).values();
        Check.equal(
                Set.of(one, two, all),
                gone.get(deleted).get().values().stream().map(result -> result.binding()).collect(Collectors.toSet()),
                "what was deleted");
        Check.eventually("they are gone", () -> Set.of(three)
                .equals(found(cluster, ResourceType.ANY, null, PatternType.ANY, own)));
    }

    private static Set<AclBinding> found(
            Cluster cluster, ResourceType kind, String name, PatternType pattern, AccessControlEntryFilter entry)
            throws Exception {
        return Set.copyOf(entries(cluster, new AclBindingFilter(new ResourcePatternFilter(kind, name, pattern), entry)));
    }

    public static void entries_that_cannot_be_are_refused(Cluster cluster) throws Exception {
        AclPermissionType allow = AclPermissionType.ALLOW;
        String name = cluster.name("t");
        ResourcePattern topic = new ResourcePattern(ResourceType.TOPIC, name, PatternType.LITERAL);
        List<AclBinding> bindings = List.of(
                binding("u", ResourceType.CLUSTER, "another", PatternType.LITERAL, AclOperation.ALTER, allow),
                binding("u", ResourceType.TOPIC, "", PatternType.LITERAL, AclOperation.READ, allow),
                new AclBinding(topic, new AccessControlEntry("no-type", "*", AclOperation.READ, allow)),
                new AclBinding(topic, new AccessControlEntry("User:", "*", AclOperation.READ, allow)),
                new AclBinding(topic, new AccessControlEntry("User:u", "", AclOperation.READ, allow)),
                binding("u", ResourceType.TOPIC, name, PatternType.LITERAL, AclOperation.CLUSTER_ACTION, allow),
                binding("u", ResourceType.GROUP, name, PatternType.LITERAL, AclOperation.WRITE, allow));
        List<Boolean> accepted = new ArrayList<>();
        for (AclBinding binding : bindings) {
            try {
                cluster.admin.createAcls(List.of(binding)).all().get();
                accepted.add(true);
            } catch (java.util.concurrent.ExecutionException thrown) {
                Check.equal(InvalidRequestException.class, thrown.getCause().getClass(), binding.toString());
                accepted.add(false);
            }
        }
        // Kafka takes entries that nobody and nothing can ever meet.
        Check.equal(List.of(false, false, false, true, true, true, true), accepted, "which are accepted");
    }
}
