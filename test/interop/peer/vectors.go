package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// wanted names a message of asynq and gives its fields in protobuf's JSON form: int64 as strings, bytes in base64.
type wanted struct{ about, kind, fields string }

const (
	zeroTime  = `"0001-01-01T00:00:00Z"`
	startTime = `"2026-01-02T03:04:05.678901234Z"`
)

var wantedVectors = []wanted{
	{"nothing set", "TaskMessage", `{}`},
	{"the client's defaults", "TaskMessage", `{"type":"notifications:email","payload":"eyJ0byI6MTIzfQ==",
		"id":"0f8c4e1a-6d0b-4f5e-9c3e-2f1d7a9b6c51","queue":"notifications","retry":25,"timeout":"1800"}`},
	{"a unique task that failed", "TaskMessage", `{"type":"webhooks:sync","payload":"eyJkYXRhIjoxMjN9","id":"w-1",
		"queue":"webhooks","retry":3,"retried":2,"error_msg":"connect: connection refused","deadline":"1767312000",
		"unique_key":"asynq:{webhooks}:unique:webhooks:sync:0f5c1f6e3d2b4a59687786958493a2b1",
		"last_failed_at":"1767225600","retention":"3600"}`},
	{"completed, with headers", "TaskMessage", `{"type":"images:resize","payload":"AP+ACg0=","id":"i-1",
		"queue":"images","retry":25,"timeout":"60","retention":"86400","completed_at":"1767225601",
		"headers":{"trace":"00-ab-cd-01","":"empty name","empty value":""}}`},
	{"grouped", "TaskMessage", `{"type":"t","id":"g-1","queue":"default","group_key":"user:42"}`},
	{"beyond ASCII", "TaskMessage", `{"type":"größe:日本","payload":"","id":"ид-🙂","queue":"очередь {x}",
		"error_msg":"tab\tnewline\nquote\" nul\u0000 bom\ufeff","group_key":"grüße","headers":{"ünï":"✓"}}`},
	{"largest numbers", "TaskMessage", fmt.Sprintf(`{"type":"t","id":"max","queue":"q","retry":%d,"retried":%d,
		"timeout":"%d","deadline":"%d","last_failed_at":"%d","retention":"%d","completed_at":"%d"}`,
		math.MaxInt32, math.MaxInt32, math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64)},
	{"smallest numbers", "TaskMessage", fmt.Sprintf(`{"type":"t","id":"min","queue":"q","retry":%d,"retried":-1,
		"timeout":"-1","deadline":"%d"}`, math.MinInt32, math.MinInt64)},
	{"lengths of two bytes", "TaskMessage", fmt.Sprintf(`{"type":"%s","payload":"%s","id":"long","queue":"q"}`,
		strings.Repeat("x", 200), base64.StdEncoding.EncodeToString(make([]byte, 300)))},

	{"nothing set", "ServerInfo", `{}`},
	{"a busy server", "ServerInfo", `{"host":"worker-1.example","pid":4711,
		"server_id":"9b2a3f51-0c64-4d5e-8f70-112233445566","concurrency":10,
		"queues":{"critical":6,"default":3,"low":1},"strict_priority":true,"status":"active","start_time":` + startTime + `,
		"active_worker_count":7}`},
	{"a server that was never started, a weight of 0", "ServerInfo",
		`{"host":"h","pid":1,"server_id":"s","queues":{"":0},"status":"new","start_time":` + zeroTime + `}`},

	{"nothing set", "WorkerInfo", `{}`},
	{"a worker in the middle of a task", "WorkerInfo", `{"host":"worker-1.example","pid":4711,"server_id":"s",
		"task_id":"t-1","task_type":"images:resize","task_payload":"AP+ACg0=","queue":"images","start_time":` + startTime + `,
		"deadline":"2026-01-02T03:34:05Z"}`},

	{"never enqueued yet", "SchedulerEntry", `{"id":"e-1","spec":"@every 5m","task_type":"cleanup",
		"next_enqueue_time":` + startTime + `,"prev_enqueue_time":` + zeroTime + `}`},
	{"with every option", "SchedulerEntry", `{"id":"e-2","spec":"CRON_TZ=Europe/Berlin 0 9 * * 1-5","task_type":"report",
		"task_payload":"e30=","enqueue_options":["Queue(\"low\")","MaxRetry(5)","Timeout(1m30s)","Unique(1h0m0s)",
		"Retention(24h0m0s)","Group(\"daily\")"],"next_enqueue_time":"2026-01-05T08:00:00Z",
		"prev_enqueue_time":"2026-01-02T08:00:00Z"}`},

	{"nothing set", "SchedulerEnqueueEvent", `{}`},
	{"an event", "SchedulerEnqueueEvent", `{"task_id":"t-1","enqueue_time":` + startTime + `}`},
	{"before 1970", "SchedulerEnqueueEvent", `{"task_id":"t-2","enqueue_time":"1969-12-31T23:59:59.500Z"}`},
}

type vector struct {
	Kind   string          `json:"kind"`
	About  string          `json:"about"`
	Fields json.RawMessage `json:"fields"`
	Hex    string          `json:"hex"`
}

// printVectors encodes with the message types that asynq itself is linked with. Maps are in the order of their keys:
// Go's order is random otherwise, and stands for nothing.
func printVectors() error {
	vectors := []vector{}
	for _, w := range wantedVectors {
		kind, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName("asynq." + w.kind))
		if err != nil {
			return err
		}
		message := kind.New().Interface()
		if err := protojson.Unmarshal([]byte(w.fields), message); err != nil {
			return fmt.Errorf("%s, %s: %w", w.kind, w.about, err)
		}
		encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
		if err != nil {
			return err
		}
		vectors = append(vectors, vector{w.kind, w.about, json.RawMessage(w.fields), fmt.Sprintf("%x", encoded)})
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(map[string]any{
		"about":   "The stored messages of asynq v0.26.0, encoded by Go: `peer vectors` in test/interop/peer.",
		"vectors": vectors,
	})
}
