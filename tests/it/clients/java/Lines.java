import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.LinkedHashMap;
import java.util.Map;

/** What a driver says: one JSON object a line, a step with what the client made of the answer. */
final class Lines {
  private static final ObjectMapper MAPPER = new ObjectMapper();

  private Lines() {}

  /** Keys and values in turn. */
  static synchronized void say(String step, Object... pairs) throws Exception {
    Map<String, Object> line = new LinkedHashMap<>();
    line.put("step", step);
    for (int at = 0; at < pairs.length; at += 2) {
      line.put((String) pairs[at], pairs[at + 1]);
    }
    System.out.println(MAPPER.writeValueAsString(line));
  }

  /** Ends without waiting for the client's sleeping tasks. */
  static void end(int code) {
    System.out.flush();
    Runtime.getRuntime().halt(code);
  }
}
