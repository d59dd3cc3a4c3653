import com.google.common.eventbus.EventBus;
import com.google.common.eventbus.Subscribe;
import java.net.URI;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.apache.servicecomb.http.client.auth.RequestAuthHeaderProvider;
import org.apache.servicecomb.http.client.common.HttpConfiguration.SSLProperties;
import org.apache.servicecomb.service.center.client.DiscoveryEvents.InstanceChangedEvent;
import org.apache.servicecomb.service.center.client.RegistrationEvents.HeartBeatEvent;
import org.apache.servicecomb.service.center.client.RegistrationEvents.MicroserviceInstanceRegistrationEvent;
import org.apache.servicecomb.service.center.client.RegistrationEvents.MicroserviceRegistrationEvent;
import org.apache.servicecomb.service.center.client.RegistrationEvents.SchemaRegistrationEvent;
import org.apache.servicecomb.service.center.client.ServiceCenterAddressManager;
import org.apache.servicecomb.service.center.client.ServiceCenterClient;
import org.apache.servicecomb.service.center.client.ServiceCenterDiscovery;
import org.apache.servicecomb.service.center.client.ServiceCenterDiscovery.SubscriptionKey;
import org.apache.servicecomb.service.center.client.ServiceCenterRegistration;
import org.apache.servicecomb.service.center.client.ServiceCenterWatch;
import org.apache.servicecomb.service.center.client.exception.OperationException;
import org.apache.servicecomb.service.center.client.model.DataCenterInfo;
import org.apache.servicecomb.service.center.client.model.FindMicroserviceInstancesResponse;
import org.apache.servicecomb.service.center.client.model.Framework;
import org.apache.servicecomb.service.center.client.model.HealthCheck;
import org.apache.servicecomb.service.center.client.model.HealthCheckMode;
import org.apache.servicecomb.service.center.client.model.HeartbeatsRequest;
import org.apache.servicecomb.service.center.client.model.Microservice;
import org.apache.servicecomb.service.center.client.model.MicroserviceInstance;
import org.apache.servicecomb.service.center.client.model.MicroserviceInstanceStatus;
import org.apache.servicecomb.service.center.client.model.ModifySchemasRequest;
import org.apache.servicecomb.service.center.client.model.RbacTokenRequest;
import org.apache.servicecomb.service.center.client.model.RbacTokenResponse;
import org.apache.servicecomb.service.center.client.model.SchemaInfo;
import org.apache.servicecomb.service.center.client.model.ServiceCenterConfiguration;
import org.java_websocket.handshake.ServerHandshake;

/**
 * The start, the life and the end of a Java service, by the client's own registration, discovery and watch.
 *
 * <p>usage: Registry http://HOST:PORT
 */
public final class Registry {
  private static final String SCHEMA = "swagger: '2.0'\npaths:\n  /orders:\n    get:\n      operationId: list\n";
  private static final long PATIENCE = 60;

  private final BlockingQueue<Object> events = new LinkedBlockingQueue<>();
  private final EventBus bus = new EventBus();
  private final ServiceCenterAddressManager addresses;
  private final ServiceCenterClient client;
  private final RequestAuthHeaderProvider nobody = request -> Collections.emptyMap();
  private final SSLProperties plain = new SSLProperties();
  private final String host;

  private Registry(String address) {
    host = URI.create(address).getHost();
    addresses = new ServiceCenterAddressManager("default", List.of(address), "", "", bus);
    client = new ServiceCenterClient(addresses, plain, nobody, "default", Collections.emptyMap(), null);
    client.setEventBus(bus);
    bus.register(this);
  }

  @Subscribe
  public void onService(MicroserviceRegistrationEvent event) {
    events.add(event);
  }

  @Subscribe
  public void onSchema(SchemaRegistrationEvent event) {
    events.add(event);
  }

  @Subscribe
  public void onInstance(MicroserviceInstanceRegistrationEvent event) {
    events.add(event);
  }

  @Subscribe
  public void onHeartbeat(HeartBeatEvent event) {
    events.add(event);
  }

  @Subscribe
  public void onChange(InstanceChangedEvent event) {
    events.add(event);
  }

  private <T> T next(Class<T> wanted) throws Exception {
    Object event = events.poll(PATIENCE, TimeUnit.SECONDS);
    if (!wanted.isInstance(event)) {
      throw new IllegalStateException("expected " + wanted.getSimpleName() + ", got " + event);
    }
    return wanted.cast(event);
  }

  public static void main(String[] args) {
    try {
      new Registry(args[0]).run();
      Lines.end(0);
    } catch (Throwable e) {
      e.printStackTrace();
      Lines.end(1);
    }
  }

  private void run() throws Exception {
    RbacTokenRequest account = new RbacTokenRequest();
    account.setName("root");
    account.setPassword("Complicated_password1");
    RbacTokenResponse token = client.queryToken(account, host);
    Lines.say("token", "status", token.getStatusCode());

    MicroserviceInstance first = start("new service", service("orders"), instance("10.0.0.1"));
    // The same service again, as another of its processes starts: it is there already.
    MicroserviceInstance second = start("known service", service("orders"), instance("10.0.0.2"));

    String orders = first.getServiceId();
    Microservice kept = client.getMicroserviceByServiceId(orders);
    Lines.say("service", "id", kept.getServiceId(), "application", kept.getAppId(), "name", kept.getServiceName(),
        "version", kept.getVersion(), "environment", kept.getEnvironment(), "level", kept.getLevel(),
        "schemas", kept.getSchemas(), "properties", new TreeMap<>(kept.getProperties()),
        "status", kept.getStatus(), "framework", kept.getFramework().getName(), "registered by", kept.getRegisterBy());
    Lines.say("service list", "names",
        client.getMicroserviceList().getServices().stream().map(Microservice::getServiceName).sorted()
            .collect(Collectors.toList()));
    schemas(orders);

    String web = client.registerMicroservice(service("web")).getServiceId();
    discovery(web, orders, second);
    instances(orders, second);
    Lines.say("registry itself", "instances", client.getServiceCenterInstances().getInstances().size());
    end(orders, first, second);
  }

  private MicroserviceInstance start(String step, Microservice service, MicroserviceInstance instance)
      throws Exception {
    SchemaInfo schema = new SchemaInfo("orders", SCHEMA, "c0ffee");
    ServiceCenterRegistration registration =
        new ServiceCenterRegistration(client, new ServiceCenterConfiguration(), bus)
        .setMicroservice(service).setMicroserviceInstance(instance).setSchemaInfos(List.of(schema))
        .setHeartBeatInterval(ServiceCenterRegistration.MAX_INTERVAL);
    registration.startRegistration();
    boolean registered = next(MicroserviceRegistrationEvent.class).isSuccess();
    Object schemas = step.startsWith("new") ? next(SchemaRegistrationEvent.class).isSuccess() : "not sent";
    boolean instanceRegistered = next(MicroserviceInstanceRegistrationEvent.class).isSuccess();
    boolean heartbeat = next(HeartBeatEvent.class).isSuccess();
    Lines.say(step, "registered", registered, "schemas", schemas, "instance", instanceRegistered,
        "heartbeat", heartbeat, "service id", instance.getServiceId(), "instance id", instance.getInstanceId());
    return instance;
  }

  private void schemas(String service) throws Exception {
    List<SchemaInfo> list = client.getServiceSchemasList(service, true);
    Lines.say("schemas", "count", list.size(), "id", list.get(0).getSchemaId(), "summary", list.get(0).getSummary(),
        "whole", SCHEMA.equals(list.get(0).getSchema()),
        "alone", SCHEMA.equals(client.getServiceSchemaContext(service, "orders")));
    ModifySchemasRequest both = new ModifySchemasRequest();
    both.setSchemas(List.of(new SchemaInfo("orders", SCHEMA, "c0ffee"), new SchemaInfo("prices", SCHEMA, "decaf")));
    boolean replaced = client.batchUpdateServiceSchemaContext(service, both);
    Lines.say("schemas in one go", "replaced", replaced, "ids",
        client.getServiceSchemasList(service, false).stream().map(SchemaInfo::getSchemaId).sorted()
            .collect(Collectors.toList()));
  }

  /** A consumer subscribes, and its watch makes it ask again when an instance comes and when one goes. */
  private void discovery(String consumer, String provider, MicroserviceInstance known) throws Exception {
    SubscriptionKey key = new SubscriptionKey("shop", "orders");
    ServiceCenterDiscovery discovery = new ServiceCenterDiscovery(client, bus)
        .setPollInterval(ServiceCenterDiscovery.MAX_INTERVAL);
    discovery.updateMyselfServiceId(consumer);
    discovery.registerIfNotPresent(key);
    Lines.say("found", "endpoints", endpoints(discovery.getInstanceCache(key)), "provider",
        discovery.getInstanceCache(key).get(0).getServiceName());

    CountDownLatch open = new CountDownLatch(1);
    ServiceCenterWatch watch =
        new ServiceCenterWatch(addresses, plain, nobody, "default", Collections.emptyMap(), bus) {
          @Override
          public void onOpen(ServerHandshake handshake) {
            super.onOpen(handshake);
            open.countDown();
          }
        };
    watch.startWatch("default", consumer);
    Lines.say("watch", "open", open.await(PATIENCE, TimeUnit.SECONDS));

    MicroserviceInstance third = instance("10.0.0.3");
    third.setServiceId(provider);
    third.setInstanceId(client.registerMicroserviceInstance(third).getInstanceId());
    Lines.say("one came", "endpoints", endpoints(next(InstanceChangedEvent.class).getInstances()));
    client.updateMicroserviceInstanceStatus(provider, known.getInstanceId(), MicroserviceInstanceStatus.DOWN);
    Lines.say("one is down", "status", statuses(next(InstanceChangedEvent.class).getInstances()));
    client.deleteMicroserviceInstance(provider, third.getInstanceId());
    Lines.say("one went", "endpoints", endpoints(next(InstanceChangedEvent.class).getInstances()));
    watch.stop();

    FindMicroserviceInstancesResponse found =
        client.findMicroserviceInstance(consumer, "shop", "orders", "0+", "0");
    FindMicroserviceInstancesResponse again =
        client.findMicroserviceInstance(consumer, "shop", "orders", "0+", found.getRevision());
    Lines.say("revision", "modified", found.isModified(), "length", found.getRevision().length(),
        "modified since", again.isModified());
    try {
      client.findMicroserviceInstance(consumer, "shop", "nothing", "0+", "0");
    } catch (OperationException e) {
      Lines.say("no such provider", "error", e.getMessage());
    }
  }

  private void instances(String service, MicroserviceInstance known) throws Exception {
    MicroserviceInstance kept = client.getMicroserviceInstance(service, known.getInstanceId());
    Lines.say("instance", "id", kept.getInstanceId(), "service id", kept.getServiceId(), "host", kept.getHostName(),
        "endpoints", kept.getEndpoints(), "status", kept.getStatus(), "version", kept.getVersion(),
        "properties", new TreeMap<>(kept.getProperties()), "interval", kept.getHealthCheck().getInterval(),
        "times", kept.getHealthCheck().getTimes(), "mode", kept.getHealthCheck().getMode(),
        "zone", kept.getDataCenterInfo().getAvailableZone());
    boolean updated = client.updateMicroserviceProperties(service, Map.of("owner", "till"), framework("2.8.31"));
    Lines.say("properties", "updated", updated, "now",
        new TreeMap<>(client.getMicroserviceByServiceId(service).getProperties()));
    client.sendHeartBeats(new HeartbeatsRequest(service, known.getInstanceId()));
    Lines.say("heartbeats", "instances", endpoints(client.getMicroserviceInstanceList(service).getInstances()));
  }

  private void end(String service, MicroserviceInstance first, MicroserviceInstance second) throws Exception {
    client.deleteMicroserviceInstance(service, first.getInstanceId());
    client.deleteMicroserviceInstance(service, second.getInstanceId());
    try {
      client.sendHeartBeat(service, second.getInstanceId());
    } catch (OperationException e) {
      Lines.say("heartbeat of nobody", "error", e.getMessage());
    }
    List<MicroserviceInstance> left = client.getMicroserviceInstanceList(service).getInstances();
    Lines.say("left", "instances", left == null ? 0 : left.size());
  }

  private static Microservice service(String name) {
    Microservice service = new Microservice(name);
    service.setAppId("shop");
    service.setVersion("1.0.0");
    service.setEnvironment("production");
    service.setLevel("FRONT");
    service.setRegisterBy("SDK");
    service.setFramework(framework("2.8.30"));
    service.setProperties(new TreeMap<>(Map.of("team", "till")));
    if (name.equals("orders")) {
      service.setSchemas(List.of("orders"));
    }
    return service;
  }

  private static MicroserviceInstance instance(String address) {
    MicroserviceInstance instance = new MicroserviceInstance();
    instance.setHostName("till");
    instance.setEndpoints(List.of("rest://" + address + ":8080"));
    instance.setStatus(MicroserviceInstanceStatus.UP);
    HealthCheck check = new HealthCheck();
    check.setMode(HealthCheckMode.push);
    check.setInterval(15);
    check.setTimes(3);
    instance.setHealthCheck(check);
    DataCenterInfo place = new DataCenterInfo();
    place.setName("cellar");
    place.setRegion("north");
    place.setAvailableZone("north-1");
    instance.setDataCenterInfo(place);
    instance.setProperties(new TreeMap<>(Map.of("rack", "4")));
    return instance;
  }

  private static Framework framework(String version) {
    Framework framework = new Framework();
    framework.setName("java-chassis");
    framework.setVersion(version);
    return framework;
  }

  private static List<String> endpoints(List<MicroserviceInstance> instances) {
    return instances.stream().flatMap(instance -> instance.getEndpoints().stream()).sorted()
        .collect(Collectors.toList());
  }

  private static Map<String, MicroserviceInstanceStatus> statuses(List<MicroserviceInstance> instances) {
    Map<String, MicroserviceInstanceStatus> statuses = new TreeMap<>();
    instances.forEach(instance -> statuses.put(instance.getEndpoints().get(0), instance.getStatus()));
    return statuses;
  }
}
