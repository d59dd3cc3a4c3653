package main

import (
	"context"
	"net/http"

	"github.com/go-chassis/cari/rbac"
	"github.com/go-chassis/foundation/httpclient"
	kie "github.com/go-chassis/kie-client"
	sc "github.com/go-chassis/sc-client"
)

// login works as an account does where there are accounts: with its token, with a wrong password, without any.
func login(ctx context.Context, address, password string) {
	user := &rbac.AuthUser{Username: "root", Password: password}
	client, err := sc.NewClient(sc.Options{Endpoints: []string{address}, EnableAuth: true, AuthUser: user})
	must(err)
	id, err := client.RegisterService(service("orders"))
	say("with the password", line{"id": id, "error": text(err)})

	wrong := &rbac.AuthUser{Username: "root", Password: password + "x"}
	stranger, err := sc.NewClient(sc.Options{Endpoints: []string{address}, EnableAuth: true, AuthUser: wrong})
	must(err)
	_, err = stranger.RegisterService(service("orders"))
	say("with a wrong password", line{"error": text(err)})
	nobody, err := sc.NewClient(sc.Options{Endpoints: []string{address}})
	must(err)
	_, err = nobody.RegisterService(service("orders"))
	say("without a password", line{"error": text(err)})

	token, err := client.GetToken(user)
	must(err)
	bearer := func(request *http.Request) error {
		request.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
	items, err := kie.NewClient(kie.Config{
		Endpoint: "http://" + address, HTTPOptions: &httpclient.Options{SignRequest: bearer},
	})
	must(err)
	limit, err := items.Create(ctx, kie.KVRequest{Key: "limit", Value: "10", Status: "enabled"})
	must(err)
	say("an item with the token", described(limit))
	others, err := kie.NewClient(kie.Config{Endpoint: "http://" + address})
	must(err)
	_, _, err = others.List(ctx, kie.WithRevision(0))
	say("items without a token", line{"error": text(err)})
}
