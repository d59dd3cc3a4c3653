import com.google.common.eventbus.EventBus;
import com.google.common.eventbus.Subscribe;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.http.client.config.RequestConfig;
import org.apache.servicecomb.config.common.ConfigConverter;
import org.apache.servicecomb.config.common.ConfigurationChangedEvent;
import org.apache.servicecomb.config.kie.client.KieClient;
import org.apache.servicecomb.config.kie.client.KieConfigManager;
import org.apache.servicecomb.config.kie.client.model.KieAddressManager;
import org.apache.servicecomb.config.kie.client.model.KieConfiguration;
import org.apache.servicecomb.http.client.common.HttpConfiguration.SSLProperties;
import org.apache.servicecomb.http.client.common.HttpRequest;
import org.apache.servicecomb.http.client.common.HttpResponse;
import org.apache.servicecomb.http.client.common.HttpTransport;
import org.apache.servicecomb.http.client.common.HttpTransportFactory;
import org.apache.servicecomb.http.client.common.HttpUtils;

/**
 * A Java service's settings: pulled at the start, followed by polling that waits for a change.
 *
 * <p>usage: Configuration http://HOST:PORT
 */
public final class Configuration {
  private static final long PATIENCE = 60;

  private final BlockingQueue<ConfigurationChangedEvent> events = new LinkedBlockingQueue<>();
  private final String address;
  private final HttpTransport transport;

  private Configuration(String address) {
    this.address = address;
    RequestConfig patient =
        HttpTransportFactory.defaultRequestConfig().setSocketTimeout((int) TimeUnit.SECONDS.toMillis(PATIENCE)).build();
    transport =
        HttpTransportFactory.createHttpTransport(new SSLProperties(), request -> Collections.emptyMap(), patient);
  }

  @Subscribe
  public void onChange(ConfigurationChangedEvent event) {
    events.add(event);
  }

  public static void main(String[] args) {
    try {
      new Configuration(args[0]).run();
      Lines.end(0);
    } catch (Throwable e) {
      e.printStackTrace();
      Lines.end(1);
    }
  }

  private void run() throws Exception {
    create("limit", "10", "text", "enabled", Map.of("app", "shop", "environment", "production"));
    create("hidden", "1", "text", "disabled", Map.of("app", "shop", "environment", "production"));
    create("limits", "rate:\n  reads: 5\n  writes: 6\n", "yaml", "enabled",
        Map.of("app", "shop", "environment", "production", "service", "orders"));
    String versioned = create("places", "north=1\nsouth=2\n", "properties", "enabled",
        Map.of("app", "shop", "environment", "production", "service", "orders", "version", "1.0.0"));
    create("elsewhere", "1", "text", "enabled", Map.of("app", "other", "environment", "production"));
    create("free", "yes", "text", "enabled", Map.of("colour", "blue", "weight", "light"));

    EventBus bus = new EventBus();
    bus.register(this);
    KieAddressManager addresses = new KieAddressManager(List.of(address), "", "", bus);
    ConfigConverter all = new ConfigConverter(Collections.emptyList());
    manager(settings().setEnableCustomConfig(true), bus, all, addresses).firstPull();
    Lines.say("pulled", "settings", new TreeMap<>(all.getCurrentData()));

    // The manager waits on three threads: with four lists one would starve.
    ConfigConverter converter = new ConfigConverter(Collections.emptyList());
    KieConfigManager manager = manager(settings().setEnableLongPolling(true), bus, converter, addresses);
    manager.firstPull();
    manager.startConfigKieManager();
    send(HttpRequest.PUT, "/" + versioned, Map.of("value", "north=1\nsouth=3\neast=4\n"));
    next("changed");
    String added = create("burst", "20", "text", "enabled", Map.of("app", "shop", "environment", "production"));
    next("added");
    send(HttpRequest.PUT, "/" + added, Map.of("status", "disabled"));
    next("disabled");
    send(HttpRequest.DELETE, "/" + versioned, null);
    next("removed");
    Lines.say("at the end", "settings", new TreeMap<>(converter.getCurrentData()));
    Lines.say("address", "isolated", isolation(addresses, bus));
  }

  private static KieConfiguration settings() {
    return new KieConfiguration().setProject("default").setAppName("shop").setServiceName("orders")
        .setEnvironment("production").setVersion("1.0.0").setEnableAppConfig(true).setEnableServiceConfig(true)
        .setEnableVersionConfig(true).setCustomLabel("colour").setCustomLabelValue("blue").setPollingWaitInSeconds(30)
        .setFirstPullRequired(true);
  }

  private KieConfigManager manager(KieConfiguration settings, EventBus bus, ConfigConverter converter,
      KieAddressManager addresses) {
    return new KieConfigManager(client(settings, bus, addresses), bus, settings, converter, addresses);
  }

  private KieClient client(KieConfiguration settings, EventBus bus, KieAddressManager addresses) {
    KieClient client = new KieClient(addresses, transport, settings);
    client.setEventBus(bus);
    return client;
  }

  /** An address that failed thrice is left alone until its health is good. */
  private List<Integer> isolation(KieAddressManager addresses, EventBus bus) {
    for (int failure = 0; failure < 3; failure++) {
      addresses.recordFailState(address);
    }
    List<String> isolated = addresses.getIsolationAddresses();
    client(settings(), bus, addresses).checkAddressAvailable(address);
    return List.of(isolated.size(), addresses.getIsolationAddresses().size());
  }

  private void next(String step) throws Exception {
    ConfigurationChangedEvent event = events.poll(PATIENCE, TimeUnit.SECONDS);
    if (event == null) {
      throw new IllegalStateException(step + ": nothing came");
    }
    Lines.say(step, "added", new TreeMap<>(event.getAdded()), "changed", new TreeMap<>(event.getUpdated()), "removed",
        new TreeMap<>(event.getDeleted()).keySet());
  }

  private String create(String key, String value, String type, String status, Map<String, String> labels)
      throws Exception {
    return send(HttpRequest.POST, "", Map.of("key", key, "value", value, "value_type", type, "status", status, "labels",
        labels));
  }

  /** By the client's transport; it has no call of its own for this. */
  private String send(String method, String path, Object body) throws Exception {
    String content = body == null ? null : HttpUtils.serialize(body);
    HttpResponse response =
        transport.doRequest(new HttpRequest(address + "/v1/default/kie/kv" + path, null, content, method));
    if (response.getStatusCode() / 100 != 2) {
      throw new IllegalStateException(method + path + ": " + response.getStatusCode() + " " + response.getContent());
    }
    return body == null ? null : HttpUtils.readTree(response.getContent()).get("id").asText();
  }
}
