import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.net.Socket;
import java.nio.ByteBuffer;
import javax.net.SocketFactory;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.requests.AbstractResponse;
import org.apache.kafka.common.requests.RequestHeader;
import org.apache.kafka.common.requests.RequestUtils;

/** A connection that sends requests as they are given, also such as no client would send. */
final class Wire implements AutoCloseable {
    private final Socket socket;
    private int correlation;

    Wire(Cluster cluster) throws IOException {
        this(cluster.bootstrap, SocketFactory.getDefault());
    }

    Wire(String bootstrap, SocketFactory sockets) throws IOException {
        String[] address = bootstrap.split(":");
        socket = sockets.createSocket(address[0], Integer.parseInt(address[1]));
        socket.setSoTimeout(30_000);
    }

    @SuppressWarnings("unchecked")
    <T extends ApiMessage> T send(ApiKeys key, int version, ApiMessage body) throws IOException {
        return (T) ask(key, version, body).data();
    }

    AbstractResponse ask(ApiKeys key, int version, ApiMessage body) throws IOException {
        return answer(begin(key, version, body));
    }

    /** Sends a request whose answer is read later. */
    RequestHeader begin(ApiKeys key, int version, ApiMessage body) throws IOException {
        RequestHeader header = new RequestHeader(key, (short) version, "wire", correlation++);
        RequestHeaderData data = header.data();
        ByteBuffer request = RequestUtils.serialize(data, header.headerVersion(), body, (short) version);
        sendBytes(request.array(), request.arrayOffset() + request.position(), request.remaining());
        return header;
    }

    /** Waits for the answer to the oldest request that has none yet. */
    AbstractResponse answer(RequestHeader header) throws IOException {
        return AbstractResponse.parseResponse(ByteBuffer.wrap(receive()), header);
    }

    /** Whether an answer, or the end of the connection, has begun to come. */
    boolean hasAnswer() throws IOException {
        return socket.getInputStream().available() > 0;
    }

    void sendBytes(byte[] bytes, int offset, int length) throws IOException {
        DataOutputStream out = new DataOutputStream(socket.getOutputStream());
        out.writeInt(length);
        out.write(bytes, offset, length);
        out.flush();
    }

    byte[] receive() throws IOException {
        DataInputStream in = new DataInputStream(socket.getInputStream());
        byte[] answer = new byte[in.readInt()];
        in.readFully(answer);
        return answer;
    }

    /** Whether the broker ends this connection without a further answer. */
    boolean isEnded() throws IOException {
        try {
            receive();
            return false;
        } catch (EOFException | java.net.SocketException ended) {
            return true;
        }
    }

    /** How long an answer may take; else {@link java.net.SocketTimeoutException}. */
    void setPatience(int timeoutMs) throws IOException {
        socket.setSoTimeout(timeoutMs);
    }

    @Override
    public void close() throws IOException {
        socket.close();
    }
}
