// A device with Java's own TLS: java JsseClient.java PORT CLIENT_ID KEYSTORE KS_PASS PKCS12|JKS TRUSTSTORE TS_PASS TLSv1.2|TLSv1.3
// Connects, subscribes, publishes with QoS 1 and prints what came back. Uses nothing but the JDK.
import java.io.*;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import javax.net.ssl.*;

public class JsseClient {
    static KeyStore store(String type, String file, String password) throws Exception {
        KeyStore store = KeyStore.getInstance(type);
        try (InputStream in = new FileInputStream(file)) { store.load(in, password.toCharArray()); }
        return store;
    }

    static void text(DataOutputStream out, String s) throws IOException {
        byte[] raw = s.getBytes(StandardCharsets.UTF_8);
        out.writeShort(raw.length);
        out.write(raw);
    }

    static void packet(OutputStream out, int first, ByteArrayOutputStream body) throws IOException {
        out.write(first);
        out.write(body.size()); // every packet here is shorter than 128 bytes
        body.writeTo(out);
        out.flush();
    }

    static byte[] read(DataInputStream in, int kind) throws IOException {
        while (true) {
            int first = in.readUnsignedByte();
            byte[] body = new byte[in.readUnsignedByte()];
            in.readFully(body);
            if (first >> 4 == kind) return body;
        }
    }

    public static void main(String[] a) throws Exception {
        KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(store(a[4], a[2], a[3]), a[3].toCharArray());
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store(a[4], a[5], a[6]));
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
        try (SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket("localhost", Integer.parseInt(a[0]))) {
            SSLParameters parameters = socket.getSSLParameters();
            parameters.setProtocols(new String[] {a[7]});
            parameters.setEndpointIdentificationAlgorithm("HTTPS");
            socket.setSSLParameters(parameters);
            socket.setSoTimeout(8000);
            OutputStream out = socket.getOutputStream();
            DataInputStream in = new DataInputStream(socket.getInputStream());

            ByteArrayOutputStream connect = new ByteArrayOutputStream();
            DataOutputStream fields = new DataOutputStream(connect);
            text(fields, "MQTT");
            fields.write(new byte[] {4, 2, 0, 60});
            text(fields, a[1]);
            packet(out, 0x10, connect);
            System.out.println("CONNACK " + read(in, 2)[1] + " " + socket.getSession().getProtocol());

            ByteArrayOutputStream subscribe = new ByteArrayOutputStream();
            fields = new DataOutputStream(subscribe);
            fields.writeShort(1);
            text(fields, "s/e");
            fields.write(1);
            packet(out, 0x82, subscribe);
            System.out.println("SUBACK " + read(in, 9)[2]);

            ByteArrayOutputStream publish = new ByteArrayOutputStream();
            fields = new DataOutputStream(publish);
            text(fields, "s/us");
            fields.writeShort(2);
            fields.writeBytes("211,24");
            packet(out, 0x32, publish);
            System.out.println("PUBACK " + read(in, 4)[1]);
            out.write(new byte[] {(byte) 0xe0, 0});
            out.flush();
        }
    }
}
