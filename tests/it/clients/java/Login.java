import com.google.common.eventbus.EventBus;
import java.net.URI;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.servicecomb.config.kie.client.KieClient;
import org.apache.servicecomb.config.kie.client.model.ConfigurationsRequest;
import org.apache.servicecomb.config.kie.client.model.KieAddressManager;
import org.apache.servicecomb.config.kie.client.model.KieConfiguration;
import org.apache.servicecomb.http.client.auth.RequestAuthHeaderProvider;
import org.apache.servicecomb.http.client.common.HttpConfiguration.SSLProperties;
import org.apache.servicecomb.http.client.common.HttpTransportFactory;
import org.apache.servicecomb.service.center.client.ServiceCenterAddressManager;
import org.apache.servicecomb.service.center.client.ServiceCenterClient;
import org.apache.servicecomb.service.center.client.model.Microservice;
import org.apache.servicecomb.service.center.client.model.RbacTokenRequest;
import org.apache.servicecomb.service.center.client.model.RbacTokenResponse;

/**
 * A Java service where there are accounts: with its token, with a wrong password, without any.
 *
 * <p>usage: Login http://HOST:PORT PASSWORD
 */
public final class Login {
  private final String address;
  private final EventBus bus = new EventBus();

  private Login(String address) {
    this.address = address;
  }

  public static void main(String[] args) {
    try {
      new Login(args[0]).run(args[1]);
      Lines.end(0);
    } catch (Throwable e) {
      e.printStackTrace();
      Lines.end(1);
    }
  }

  private void run(String password) throws Exception {
    ServiceCenterClient nobody = client(request -> Collections.emptyMap());
    RbacTokenResponse wrong = token(nobody, password + "x");
    Lines.say("with a wrong password", "status", wrong.getStatusCode(), "code", wrong.getErrorCode());
    try {
      nobody.registerMicroservice(service());
    } catch (RuntimeException e) {
      Lines.say("without a password", "error", e.getMessage());
    }
    RbacTokenResponse token = token(nobody, password);
    Lines.say("with the password", "status", token.getStatusCode(), "token", token.getToken().split("\\.").length);
    RequestAuthHeaderProvider bearer = request -> Map.of("Authorization", "Bearer " + token.getToken());
    Lines.say("with the token", "service", client(bearer).registerMicroservice(service()).getServiceId());
    Lines.say("settings with the token", "settings", settings(bearer));
    try {
      settings(request -> Collections.emptyMap());
    } catch (RuntimeException e) {
      Lines.say("settings without a token", "error", e.getCause().getMessage());
    }
  }

  private ServiceCenterClient client(RequestAuthHeaderProvider who) {
    ServiceCenterAddressManager addresses = new ServiceCenterAddressManager("default", List.of(address), "", "", bus);
    ServiceCenterClient client =
        new ServiceCenterClient(addresses, new SSLProperties(), who, "default", Collections.emptyMap(), null);
    return client.setEventBus(bus);
  }

  private RbacTokenResponse token(ServiceCenterClient client, String password) {
    RbacTokenRequest account = new RbacTokenRequest();
    account.setName("root");
    account.setPassword(password);
    return client.queryToken(account, URI.create(address).getHost());
  }

  private Map<String, Object> settings(RequestAuthHeaderProvider who) {
    KieAddressManager addresses = new KieAddressManager(List.of(address), "", "", bus);
    KieConfiguration settings = new KieConfiguration().setProject("default");
    KieClient client =
        new KieClient(addresses, HttpTransportFactory.createHttpTransport(new SSLProperties(), who), settings);
    ConfigurationsRequest request = new ConfigurationsRequest().setLabelsQuery("label=app%3Ashop&").setWithExact(true);
    return new TreeMap<>(client.queryConfigurations(request, address).getConfigurations());
  }

  private static Microservice service() {
    Microservice service = new Microservice("orders");
    service.setAppId("shop");
    service.setVersion("1.0.0");
    return service;
  }
}
