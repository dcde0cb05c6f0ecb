import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import javax.net.SocketFactory;
import javax.security.auth.callback.Callback;
import javax.security.auth.callback.NameCallback;
import javax.security.auth.callback.PasswordCallback;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.common.message.SaslAuthenticateRequestData;
import org.apache.kafka.common.message.SaslAuthenticateResponseData;
import org.apache.kafka.common.message.SaslHandshakeRequestData;
import org.apache.kafka.common.message.SaslHandshakeResponseData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.security.scram.internals.ScramSaslClient;

/** How clients come to a broker that secure.sh started: what they trust, and the users that it has. */
final class Secrets {
    static final String ROOT = "root";
    /** Who may do nothing. */
    static final String PAT = "pat";

    private Secrets() {}

    /** The directory of certificates. */
    static Path directory() {
        return Path.of(System.getProperty("kafka.test.secrets"));
    }

    /** The password of a user. */
    static String password(String user) {
        return user + "-secret";
    }

    static Map<String, Object> settings(String mechanism, String user, String password) {
        String module = mechanism.equals("PLAIN") ? "plain.PlainLoginModule" : "scram.ScramLoginModule";
        Map<String, Object> settings = trusting("ca.pem");
        settings.put("sasl.mechanism", mechanism);
        settings.put(
                "sasl.jaas.config",
                String.format("org.apache.kafka.common.security.%s required username=\"%s\" password=\"%s\";", module,
                        user, password));
        // Otherwise every lost connection is tried again in silence for a minute.
        settings.put("request.timeout.ms", 20_000);
        settings.put("default.api.timeout.ms", 20_000);
        return settings;
    }

    static Map<String, Object> trusting(String authority) {
        Map<String, Object> settings = new HashMap<>();
        settings.put("security.protocol", "SASL_SSL");
        settings.put("ssl.truststore.type", "PEM");
        settings.put("ssl.truststore.location", directory().resolve(authority).toString());
        return settings;
    }

    /** The cluster as a user sees it. */
    static Cluster as(Cluster cluster, String mechanism, String user, String password) {
        return new Cluster(cluster.bootstrap, settings(mechanism, user, password));
    }

    /** The cluster as a user sees it who was made by {@link #user}. */
    static Cluster as(Cluster cluster, String user) {
        return as(cluster, "SCRAM-SHA-256", user, password(user));
    }

    /** A new user, known once this returns. */
    static String user(Cluster cluster) throws Exception {
        String user = cluster.name("u");
        for (ScramMechanism mechanism : List.of(ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)) {
            set(cluster, user, mechanism, password(user));
        }
        Check.eventually("the new user is known", () -> {
            try (Cluster as = as(cluster, "SCRAM-SHA-512", user, password(user))) {
                as.admin.describeCluster().nodes().get();
                return true;
            } catch (java.util.concurrent.ExecutionException unknown) {
                return false;
            }
        });
        return user;
    }

    static void set(Cluster cluster, String user, ScramMechanism mechanism, String password) throws Exception {
        UserScramCredentialUpsertion upsertion =
                new UserScramCredentialUpsertion(user, new ScramCredentialInfo(mechanism, 4096), password);
        cluster.admin.alterUserScramCredentials(List.of(upsertion)).all().get();
    }

    /** A connection that is encrypted, and nobody's yet. */
    static Wire wire(Cluster cluster) throws Exception {
        return new Wire(cluster.bootstrap, sockets());
    }

    /** A connection of a user who was made by {@link #user}. */
    static Wire wire(Cluster cluster, String user) throws Exception {
        Wire wire = wire(cluster);
        SaslHandshakeResponseData chosen =
                wire.send(ApiKeys.SASL_HANDSHAKE, 1, new SaslHandshakeRequestData().setMechanism("SCRAM-SHA-256"));
        Check.equal(Errors.NONE, Errors.forCode(chosen.errorCode()), "the mechanism");
        ScramSaslClient proof = new ScramSaslClient(
                org.apache.kafka.common.security.scram.internals.ScramMechanism.SCRAM_SHA_256,
                callbacks -> {
                    for (Callback callback : callbacks) {
                        if (callback instanceof NameCallback) {
                            ((NameCallback) callback).setName(user);
                        } else if (callback instanceof PasswordCallback) {
                            ((PasswordCallback) callback).setPassword(password(user).toCharArray());
                        }
                    }
                });
        byte[] challenge = new byte[0];
        while (!proof.isComplete()) {
            SaslAuthenticateRequestData answer =
                    new SaslAuthenticateRequestData().setAuthBytes(proof.evaluateChallenge(challenge));
            if (proof.isComplete()) {
                break;
            }
            SaslAuthenticateResponseData said = wire.send(ApiKeys.SASL_AUTHENTICATE, 2, answer);
            Check.equal(Errors.NONE, Errors.forCode(said.errorCode()), "the password");
            challenge = said.authBytes();
        }
        return wire;
    }

    private static SocketFactory sockets() throws Exception {
        KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
        trusted.load(null, null);
        trusted.setCertificateEntry(
                "ca", CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(authority())));
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(trusted);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context.getSocketFactory();
    }

    private static byte[] authority() throws IOException {
        return Files.readAllBytes(directory().resolve("ca.pem"));
    }
}
