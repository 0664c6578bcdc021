// Command peer lets the interop suite drive the real Go asynq: a JSON command a line on stdin, a JSON answer a line on
// stdout. Commands run side by side; an answer carries the number of its command. Started with `vectors`, it prints the
// golden vectors of the stored messages instead.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/hibiken/asynq"
)

type command struct {
	N    int             `json:"n"`
	Do   string          `json:"do"`
	With json.RawMessage `json:"with"`
}

type answer struct {
	N     int    `json:"n"`
	OK    any    `json:"ok"`
	Error string `json:"error,omitempty"`
	Kind  string `json:"kind,omitempty"`
}

// peer holds what outlives a command: one client and one inspector, and the servers and schedulers that run by name.
type peer struct {
	redis     asynq.RedisConnOpt
	client    *asynq.Client
	inspector *asynq.Inspector
	mutex     sync.Mutex
	running   map[string]running
}

type running interface {
	handled() any
	quiet()
	stop()
}

type verb func(*peer, json.RawMessage) (any, error)

// on makes a verb of a function that takes its arguments decoded.
func on[In any](do func(*peer, In) (any, error)) verb {
	return func(p *peer, with json.RawMessage) (any, error) {
		var in In
		if err := json.Unmarshal(with, &in); err != nil {
			return nil, err
		}
		return do(p, in)
	}
}

var verbs = map[string]verb{}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return errors.New("usage: peer vectors | peer ADDRESS[,ADDRESS...] (several addresses: a cluster)")
	}
	if os.Args[1] == "vectors" {
		return printVectors()
	}
	addresses := strings.Split(os.Args[1], ",")
	var redis asynq.RedisConnOpt = asynq.RedisClientOpt{Addr: addresses[0]}
	if len(addresses) > 1 {
		redis = asynq.RedisClusterClientOpt{Addrs: addresses}
	}
	p := &peer{
		redis:     redis,
		client:    asynq.NewClient(redis),
		inspector: asynq.NewInspector(redis),
		running:   map[string]running{},
	}
	p.serve()
	return nil
}

// serve answers commands until stdin ends.
func (p *peer) serve() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	out := json.NewEncoder(os.Stdout)
	var writing sync.Mutex
	var pending sync.WaitGroup
	for lines.Scan() {
		var c command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			fmt.Fprintln(os.Stderr, "not a command:", err)
			continue
		}
		pending.Add(1)
		go func() {
			defer pending.Done()
			a := p.answer(c)
			writing.Lock()
			defer writing.Unlock()
			if err := out.Encode(a); err != nil {
				fmt.Fprintln(os.Stderr, "cannot answer:", err)
			}
		}()
	}
	pending.Wait()
	for _, r := range p.running {
		r.stop()
	}
}

func (p *peer) answer(c command) answer {
	do, known := verbs[c.Do]
	if !known {
		return answer{N: c.N, Error: fmt.Sprintf("unknown command %q", c.Do), Kind: "usage"}
	}
	result, err := do(p, c.With)
	if err != nil {
		return answer{N: c.N, Error: err.Error(), Kind: kindOf(err)}
	}
	return answer{N: c.N, OK: result}
}

func kindOf(err error) string {
	switch {
	case errors.Is(err, asynq.ErrDuplicateTask):
		return "duplicate"
	case errors.Is(err, asynq.ErrTaskIDConflict):
		return "id-taken"
	case errors.Is(err, asynq.ErrTaskNotFound):
		return "task-not-found"
	case errors.Is(err, asynq.ErrQueueNotFound):
		return "queue-not-found"
	case errors.Is(err, asynq.ErrQueueNotEmpty):
		return "queue-not-empty"
	}
	return "other"
}

// start keeps something running under a name.
func (p *peer) start(name string, r running) error {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if _, taken := p.running[name]; taken {
		return fmt.Errorf("%q runs already", name)
	}
	p.running[name] = r
	return nil
}

func (p *peer) named(name string) (running, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	r, found := p.running[name]
	if !found {
		return nil, fmt.Errorf("%q does not run", name)
	}
	return r, nil
}

type name struct {
	Name string `json:"name"`
}

func init() {
	verbs["handled"] = on(func(p *peer, in name) (any, error) {
		r, err := p.named(in.Name)
		if err != nil {
			return nil, err
		}
		return r.handled(), nil
	})
	verbs["quiet"] = on(func(p *peer, in name) (any, error) {
		r, err := p.named(in.Name)
		if err != nil {
			return nil, err
		}
		r.quiet()
		return nil, nil
	})
	verbs["stop"] = on(func(p *peer, in name) (any, error) {
		r, err := p.named(in.Name)
		if err != nil {
			return nil, err
		}
		r.stop()
		p.mutex.Lock()
		defer p.mutex.Unlock()
		delete(p.running, in.Name)
		return r.handled(), nil
	})
}
