package main

import (
	"context"
	"errors"

	kie "github.com/go-chassis/kie-client"
)

// configuration writes items, reads them by labels, waits for a change, and takes them away again.
func configuration(ctx context.Context, address string) {
	client, err := kie.NewClient(kie.Config{Endpoint: "http://" + address})
	must(err)
	labels := map[string]string{"app": "shop", "environment": "production"}
	limit, err := client.Create(ctx, kie.KVRequest{Key: "limit", Value: "10", Status: "enabled", Labels: labels})
	must(err)
	say("created", described(limit))
	_, err = client.Create(ctx, kie.KVRequest{Key: "limit", Value: "11", Labels: labels})
	say("created again", line{"error": text(err)})
	wide, err := client.Create(ctx, kie.KVRequest{
		Key: "rates", Value: "reads: 5\n", ValueType: "yaml", Labels: map[string]string{
			"app": "shop", "environment": "production", "service": "orders"},
	})
	must(err)
	say("created", described(wide))

	all, revision, err := client.List(ctx, kie.WithLabels(labels), kie.WithRevision(0))
	must(err)
	say("with the labels", line{"items": keys(all), "revision": revision > 0})
	exact, _, err := client.List(ctx, kie.WithLabels(labels), kie.WithExact(), kie.WithRevision(0))
	must(err)
	say("with just the labels", line{"items": keys(exact)})
	one, _, err := client.List(ctx, kie.WithKey("rates"), kie.WithRevision(0))
	must(err)
	say("of the key", line{"items": keys(one)})
	_, _, err = client.List(ctx, kie.WithLabels(labels), kie.WithRevision(revision), kie.WithWait("10ms"))
	say("no change", line{"error": text(err), "is that": errors.Is(err, kie.ErrNoChanges)})

	waiting := make(chan line, 1)
	go func() {
		changed, at, err := client.List(ctx, kie.WithLabels(labels), kie.WithRevision(revision), kie.WithWait("25s"))
		must(err)
		waiting <- line{"items": keys(changed), "later": at > revision}
	}()
	updated, err := client.Put(ctx, kie.KVRequest{ID: limit.ID, Key: "limit", Value: "12"})
	must(err)
	say("updated", described(updated))
	say("waited for", <-waiting)
	say("revision", line{"is kept": client.CurrentRevision() > revision})

	got, err := client.Get(ctx, limit.ID)
	must(err)
	say("got", described(got))
	must(client.Delete(ctx, limit.ID))
	_, err = client.Get(ctx, limit.ID)
	say("got after", line{"error": text(err)})
	must(client.Delete(ctx, limit.ID+","+wide.ID))
	left, _, err := client.List(ctx, kie.WithRevision(0))
	must(err)
	say("left", line{"items": keys(left)})
}

// described leaves out what differs from run to run, once it is seen to be there.
func described(item *kie.KVDoc) line {
	return line{
		"id": item.ID, "key": item.Key, "value": item.Value, "type": item.ValueType, "status": item.Status,
		"labels":    item.Labels,
		"times":     item.CreatTime > 0 && item.UpdateTime >= item.CreatTime,
		"revisions": item.CreateRevision > 0 && item.UpdateRevision >= item.CreateRevision,
	}
}

func keys(list *kie.KVResponse) []string {
	all := []string{}
	for _, item := range list.Data {
		all = append(all, item.Key+"="+item.Value)
	}
	return sorted(all)
}
