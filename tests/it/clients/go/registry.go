package main

import (
	"errors"
	"sort"
	"time"

	"github.com/go-chassis/cari/discovery"
	"github.com/go-chassis/cari/rbac"
	sc "github.com/go-chassis/sc-client"
)

const schema = "swagger: '2.0'\npaths:\n  /orders:\n    get:\n      operationId: list\n"

// registry starts a service, finds it as a consumer does, watches it, and takes it away again.
func registry(address string) {
	client, err := sc.NewClient(sc.Options{Endpoints: []string{address}})
	must(err)
	_, err = client.GetToken(&rbac.AuthUser{Username: "root", Password: "Complicated_password1"})
	say("token", line{"error": text(err)})

	orders := service("orders")
	absent, err := client.GetMicroServiceID("shop", "orders", "1.0.0", "production")
	say("absent", line{"id": absent, "error": text(err)})
	id, err := client.RegisterService(orders)
	must(err)
	again, err := client.RegisterService(service("orders"))
	must(err)
	known, err := client.GetMicroServiceID("shop", "orders", "1.0.0", "production")
	must(err)
	say("service", line{"id": id, "same id again": id == again, "found": known == id})
	must(client.AddSchemas(id, "orders", schema))
	got, err := client.GetSchema(id, "orders")
	must(err)
	say("schema", line{"answer": string(got)})
	kept, err := client.GetMicroService(id)
	must(err)
	kept.Timestamp, kept.ModTimestamp = "", ""
	say("kept", line{"service": kept})

	first := instance(id, "10.0.0.1")
	first.InstanceId, err = client.RegisterMicroServiceInstance(first)
	must(err)
	beaten, err := client.Heartbeat(id, first.InstanceId)
	must(err)
	say("instance", line{"id": first.InstanceId, "heartbeat": beaten})

	web, err := client.RegisterService(service("web"))
	must(err)
	find(client, web)
	watch(client, web, id)
	properties(client, id, first)

	services, err := client.GetAllMicroServices()
	must(err)
	applications, err := client.GetAllApplications()
	must(err)
	everything, err := client.GetAllResources("instances")
	must(err)
	say("all", line{"services": names(services), "applications": sorted(applications), "details": details(everything)})
	providers, err := client.GetProviders(web)
	must(err)
	say("providers", line{"names": names(providers.Services)})
	itself, err := client.Health()
	must(err)
	say("registry itself", line{"instances": len(itself), "endpoints": text(client.SyncEndpoints())})

	gone, err := client.UnregisterMicroServiceInstance(id, first.InstanceId)
	must(err)
	_, late := client.Heartbeat(id, first.InstanceId)
	removed, err := client.UnregisterMicroService(id)
	must(err)
	_, missing := client.FindMicroServiceInstances(web, "shop", "orders", "0+", sc.WithoutRevision())
	say("end", line{
		"instance gone": gone, "heartbeat of nobody": text(late), "service gone": removed,
		"not found": errors.Is(missing, sc.ErrMicroServiceNotExists),
	})
	sockets(client, web)
}

// sockets keep instances alive; the one of an instance that is not there tells the client to register it anew.
func sockets(client *sc.Client, service string) {
	living, err := client.RegisterMicroServiceInstance(instance(service, "10.0.0.3"))
	must(err)
	anew := make(chan string, 8)
	must(client.WSHeartbeat(service, living, func() { anew <- "living" }))
	must(client.WSHeartbeat(service, "nobody", func() { anew <- "nobody" }))
	select {
	case which := <-anew:
		say("heartbeat sockets", line{"to register anew": which})
	case <-time.After(patience):
		must(errors.New("no socket was closed"))
	}
}

// find asks twice: the second time nothing has changed.
func find(client *sc.Client, consumer string) {
	client.ResetRevision()
	found, err := client.FindMicroServiceInstances(consumer, "shop", "orders", "0+")
	must(err)
	_, again := client.FindMicroServiceInstances(consumer, "shop", "orders", "0+")
	_, missing := client.FindMicroServiceInstances(consumer, "shop", "nothing", "0+", sc.WithoutRevision())
	say("found", line{
		"endpoints": endpoints(found), "changed since": !errors.Is(again, sc.ErrNotModified),
		"no such provider": text(missing),
	})
	keys := []*discovery.FindService{
		{Service: &discovery.MicroServiceKey{AppId: "shop", ServiceName: "orders"}},
		{Service: &discovery.MicroServiceKey{AppId: "shop", ServiceName: "nothing"}},
	}
	batch, err := client.BatchFindInstances(consumer, keys)
	must(err)
	updated := batch.Services.Updated[0]
	keys[0].Rev = updated.Rev
	second, err := client.BatchFindInstances(consumer, keys[:1])
	must(err)
	say("batch", line{
		"index": updated.Index, "endpoints": endpoints(updated.Instances), "failed": batch.Services.Failed,
		"not modified then": second.Services.NotModified,
	})
}

// watch sees another instance come, change and go.
func watch(client *sc.Client, consumer, provider string) {
	events := make(chan *sc.MicroServiceInstanceChangedEvent, 8)
	must(client.WatchMicroService(consumer, func(event *sc.MicroServiceInstanceChangedEvent) { events <- event }))
	next := func() {
		select {
		case event := <-events:
			say("event", line{
				"action": event.Action, "key": event.Key, "endpoints": event.Instance.Endpoints,
				"status": event.Instance.Status, "service id": event.Instance.ServiceId,
			})
		case <-time.After(patience):
			must(errors.New("no event came"))
		}
	}
	second := instance(provider, "10.0.0.2")
	id, err := client.RegisterMicroServiceInstance(second)
	must(err)
	next()
	_, err = client.UpdateMicroServiceInstanceStatus(provider, id, sc.MSIinstanceDown)
	must(err)
	next()
	_, err = client.UnregisterMicroServiceInstance(provider, id)
	must(err)
	next()
}

// properties are replaced; the client sends the whole object.
func properties(client *sc.Client, id string, known *discovery.MicroServiceInstance) {
	changed := service("orders")
	changed.Properties = map[string]string{"owner": "till"}
	_, err := client.UpdateMicroServiceProperties(id, changed)
	must(err)
	kept, err := client.GetMicroService(id)
	must(err)
	other := instance(id, "10.0.0.9")
	other.Properties = map[string]string{"rack": "5"}
	_, err = client.UpdateMicroServiceInstanceProperties(id, known.InstanceId, other)
	must(err)
	instances, err := client.GetMicroServiceInstances(id, id)
	must(err)
	say("properties", line{
		"of the service": kept.Properties, "of the instance": instances[0].Properties,
		"endpoints": endpoints(instances),
	})
}

func service(name string) *discovery.MicroService {
	return &discovery.MicroService{
		AppId: "shop", ServiceName: name, Version: "1.0.0", Environment: "production", Level: "FRONT",
		RegisterBy: "SDK", Properties: map[string]string{"team": "till"},
		Framework: &discovery.FrameWork{Name: "go-chassis", Version: "2.8.0"},
	}
}

func instance(service, host string) *discovery.MicroServiceInstance {
	return &discovery.MicroServiceInstance{
		ServiceId: service, HostName: "till", Endpoints: []string{"rest://" + host + ":8080"}, Status: "UP",
		Properties:  map[string]string{"rack": "4"},
		HealthCheck: &discovery.HealthCheck{Mode: sc.CheckByHeartbeat, Interval: 30, Times: 3},
	}
}

func endpoints(instances []*discovery.MicroServiceInstance) []string {
	all := []string{}
	for _, instance := range instances {
		all = append(all, instance.Endpoints...)
	}
	return sorted(all)
}

func names(services []*discovery.MicroService) []string {
	all := []string{}
	for _, service := range services {
		all = append(all, service.ServiceName)
	}
	return sorted(all)
}

// details are the services with the number of their instances.
func details(all []*discovery.ServiceDetail) []line {
	lines := []line{}
	for _, detail := range all {
		lines = append(lines, line{"name": detail.MicroService.ServiceName, "instances": endpoints(detail.Instances)})
	}
	sort.Slice(lines, func(a, b int) bool { return lines[a]["name"].(string) < lines[b]["name"].(string) })
	return lines
}
