// The stock Go clients at work: each step prints one JSON line with what the client made of the answer.
//
// usage: clients registry|configuration HOST:PORT
// usage: clients login HOST:PORT PASSWORD
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"
	"time"
)

const patience = 60 * time.Second

// line is what a step says; keys come out sorted.
type line map[string]interface{}

func say(step string, said line) {
	said["step"] = step
	text, err := json.Marshal(said)
	must(err)
	fmt.Println(string(text))
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "failed:", err)
		panic(err)
	}
}

// text is an error as people see it; nil is no error.
func text(err error) interface{} {
	if err == nil {
		return nil
	}
	return err.Error()
}

func sorted(names []string) []string {
	sort.Strings(names)
	return names
}

func main() {
	switch arguments := os.Args[1:]; {
	case len(arguments) == 2 && arguments[0] == "registry":
		registry(arguments[1])
	case len(arguments) == 2 && arguments[0] == "configuration":
		configuration(context.Background(), arguments[1])
	case len(arguments) == 3 && arguments[0] == "login":
		login(context.Background(), arguments[1], arguments[2])
	default:
		must(errors.New("usage: clients registry|configuration|login HOST:PORT [PASSWORD]"))
	}
}
