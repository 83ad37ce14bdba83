package coord

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/bellwetherdb/bellwether/internal/topology"
)

// EtcdConfig is how a fleet of proxies finds each other.
type EtcdConfig struct {
	Self   string // name of this proxy, unique in the fleet
	Prefix string // of all keys, such as /bellwether/shop/
	// TTL is how long a record may be relied on after it was last confirmed, and how
	// long the coordinator's key outlives it; whole seconds, at least 2.
	TTL time.Duration
	// Margin is what a proxy's own right ends earlier by: clocks do not run alike.
	Margin time.Duration
	// Renew is the time between confirmations; well below TTL.
	Renew time.Duration
}

// Etcd keeps the record in etcd.
type Etcd struct {
	state
	cfg     EtcdConfig
	connect Connect
	client  atomic.Pointer[clientv3.Client] // nil until etcd could be logged in to
	log     *slog.Logger

	sharing sync.Mutex // guards the two below
	lease   clientv3.LeaseID
	shared  []Report
}

var _ Coordinator = (*Etcd)(nil)

// Connect makes a client, whose life is that of the context. It fails where etcd has to be logged
// in to and does not answer.
type Connect func(ctx context.Context) (*clientv3.Client, error)

// NewEtcd returns a coordinator that begins with Run, which connects, as often as it takes, and
// closes the client in the end.
func NewEtcd(connect Connect, cfg EtcdConfig, log *slog.Logger) *Etcd {
	e := &Etcd{cfg: cfg, connect: connect, log: log}
	// Before the first confirmation nothing may be written.
	e.status.WritesUntil = time.Unix(1, 0)
	return e
}

func (e *Etcd) recordKey() string      { return e.cfg.Prefix + "record" }
func (e *Etcd) coordinatorKey() string { return e.cfg.Prefix + "coordinator" }
func (e *Etcd) seenPrefix() string     { return e.cfg.Prefix + "seen/" }

// Run confirms the record and tries for the coordinator's key every Renew, and
// once more at each change of the record.
func (e *Etcd) Run(ctx context.Context) error {
	kv := e.reach(ctx)
	if kv == nil {
		return nil
	}
	defer func() { _ = kv.Close() }()
	defer e.leave()
	changed := make(chan struct{}, 1)
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() { e.watch(ctx, kv, changed) })
	tick := time.NewTicker(e.cfg.Renew)
	defer tick.Stop()
	for {
		if err := e.round(ctx); err != nil && ctx.Err() == nil {
			e.log.Warn("etcd cannot be asked", "error", err)
			e.lose()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-changed:
		}
	}
}

// watch tells of changes of the record. It only hastens what the ticks bring: a watch may take
// long to be created, and ends with its etcd member.
func (e *Etcd) watch(ctx context.Context, kv *clientv3.Client, changed chan<- struct{}) {
	for ctx.Err() == nil {
		for range kv.Watch(clientv3.WithRequireLeader(ctx), e.recordKey()) {
			select {
			case changed <- struct{}{}:
			default:
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(e.cfg.Renew):
		}
	}
}

// reach connects; nil where ctx ended before that.
func (e *Etcd) reach(ctx context.Context) *clientv3.Client {
	for ctx.Err() == nil {
		own, cancel := context.WithCancel(context.WithoutCancel(ctx)) // the client is still needed to leave
		stop := context.AfterFunc(ctx, cancel)
		kv, err := e.connect(own)
		stop()
		if err == nil {
			e.client.Store(kv)
			return kv
		}
		cancel()
		e.log.Warn("etcd cannot be asked", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(e.cfg.Renew):
		}
	}
	return nil
}

// errUnreached is what is told before etcd could be logged in to.
var errUnreached = errors.New("etcd has not been reached yet")

// leave gives the key up, so that a successor need not wait.
func (e *Etcd) leave() {
	e.lose()
	e.sharing.Lock()
	lease := e.lease
	e.lease = 0
	e.sharing.Unlock()
	if lease == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), e.cfg.Renew)
	defer cancel()
	_, _ = e.client.Load().Revoke(ctx, lease) // else it runs out by itself
}

// lose is when the key may be another's.
func (e *Etcd) lose() {
	e.update(func(st *Status) bool {
		was := st.Held
		st.Held = false
		return was
	})
}

// round is one confirmation: the record as it is in etcd now, read through its
// quorum, can be relied on from the moment before the question.
func (e *Etcd) round(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.TTL/2)
	defer cancel()
	asked := time.Now()
	lease, err := e.keepLease(ctx)
	if err != nil {
		return err
	}
	key := e.coordinatorKey()
	got, err := e.client.Load().Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
		Then(clientv3.OpPut(key, e.cfg.Self, clientv3.WithLease(lease)), clientv3.OpGet(key), clientv3.OpGet(e.recordKey()), clientv3.OpGet(e.seenPrefix(), clientv3.WithPrefix())).
		Else(clientv3.OpGet(key), clientv3.OpGet(key), clientv3.OpGet(e.recordKey()), clientv3.OpGet(e.seenPrefix(), clientv3.WithPrefix())).
		Commit()
	if err != nil {
		return fmt.Errorf("read the record: %w", err)
	}
	held := false
	if kvs := got.Responses[1].GetResponseRange().Kvs; len(kvs) == 1 {
		held = clientv3.LeaseID(kvs[0].Lease) == lease
	}
	var record topology.Record
	if kvs := got.Responses[2].GetResponseRange().Kvs; len(kvs) == 1 {
		if err := json.Unmarshal(kvs[0].Value, &record); err != nil {
			return fmt.Errorf("the record in etcd is damaged: %w", err)
		}
		record.Revision = kvs[0].ModRevision
	}
	e.hear(got.Responses[3].GetResponseRange().Kvs, asked)
	e.confirm(record, held, asked)
	return nil
}

// hear keeps what others see, by an answer to what was asked then; what was heard before keeps
// its time.
func (e *Etcd) hear(kvs []*mvccpb.KeyValue, asked time.Time) {
	var reports []Report
	for _, kv := range kvs {
		var r Report
		name := strings.TrimPrefix(string(kv.Key), e.seenPrefix())
		if name == e.cfg.Self || json.Unmarshal(kv.Value, &r) != nil {
			continue
		}
		r.Observer, r.Received = name, asked
		reports = append(reports, r)
	}
	e.sharing.Lock()
	defer e.sharing.Unlock()
	for i := range reports {
		at := slices.IndexFunc(e.shared, func(o Report) bool {
			return o.Observer == reports[i].Observer && string(o.Seen) == string(reports[i].Seen)
		})
		if at >= 0 {
			reports[i].Received = e.shared[at].Received
		}
	}
	e.shared = reports
}

func (e *Etcd) confirm(r topology.Record, held bool, asked time.Time) {
	e.update(func(st *Status) bool {
		if r.Revision < st.Record.Revision {
			return false // an answer that was overtaken
		}
		wake := st.Held != held || st.Record.Revision != r.Revision
		st.Held, st.Record = held, r
		st.WritesUntil = asked.Add(e.cfg.TTL - e.cfg.Margin)
		return wake
	})
}

// keepLease renews the lease, or takes a new one.
func (e *Etcd) keepLease(ctx context.Context) (clientv3.LeaseID, error) {
	e.sharing.Lock()
	lease := e.lease
	e.sharing.Unlock()
	if lease != 0 {
		got, err := e.client.Load().KeepAliveOnce(ctx, lease)
		if err == nil && got.TTL > 0 {
			return lease, nil
		}
		if ctx.Err() != nil {
			return 0, fmt.Errorf("renew the lease: %w", err)
		}
	}
	got, err := e.client.Load().Grant(ctx, int64(e.cfg.TTL/time.Second))
	if err != nil {
		return 0, fmt.Errorf("take a lease: %w", err)
	}
	e.sharing.Lock()
	e.lease = got.ID
	e.sharing.Unlock()
	return got.ID, nil
}

// Swap replaces the record by a transaction on its revision.
func (e *Etcd) Swap(ctx context.Context, next topology.Record) (topology.Record, error) {
	present := e.Status().Record
	if next.Revision != present.Revision {
		return present, ErrConflict
	}
	if err := present.Follows(&next); err != nil {
		return present, refuse(err)
	}
	value, err := json.Marshal(&next)
	if err != nil {
		return present, fmt.Errorf("write the record: %w", err)
	}
	kv := e.client.Load()
	if kv == nil {
		return present, errUnreached
	}
	key := e.recordKey()
	got, err := kv.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", next.Revision)).
		Then(clientv3.OpPut(key, string(value))).
		Else(clientv3.OpGet(key)).
		Commit()
	if err != nil {
		return present, fmt.Errorf("write the record: the outcome is not known: %w", err)
	}
	if !got.Succeeded {
		var r topology.Record
		kvs := got.Responses[0].GetResponseRange().Kvs
		if len(kvs) != 1 || json.Unmarshal(kvs[0].Value, &r) != nil {
			return present, errors.Join(ErrConflict, errors.New("the record in etcd is gone or damaged"))
		}
		r.Revision = kvs[0].ModRevision
		return r, ErrConflict
	}
	next = next.Clone()
	next.Revision = got.Header.Revision
	e.update(func(st *Status) bool {
		if next.Revision <= st.Record.Revision {
			return false
		}
		st.Record = next.Clone()
		return true
	})
	return next, nil
}

// Share puts what this proxy sees under its name, for as long as its lease lives.
func (e *Etcd) Share(ctx context.Context, seen json.RawMessage) error {
	e.sharing.Lock()
	lease := e.lease
	e.sharing.Unlock()
	if lease == 0 {
		return errors.New("share what is seen: there is no lease yet")
	}
	value, err := json.Marshal(&Report{Observer: e.cfg.Self, Seen: seen})
	if err != nil {
		return fmt.Errorf("share what is seen: %w", err)
	}
	asked := time.Now()
	got, err := e.client.Load().Txn(ctx).Then( // there is a lease, so there is a client
		clientv3.OpPut(e.seenPrefix()+e.cfg.Self, string(value), clientv3.WithLease(lease)),
		clientv3.OpGet(e.seenPrefix(), clientv3.WithPrefix()), // they have something to tell when we have
	).Commit()
	if err != nil {
		return fmt.Errorf("share what is seen: %w", err)
	}
	e.hear(got.Responses[1].GetResponseRange().Kvs, asked)
	return nil
}

// Shared is what the other proxies told, as of the last confirmation or Share.
func (e *Etcd) Shared() []Report {
	e.sharing.Lock()
	defer e.sharing.Unlock()
	return slices.Clone(e.shared)
}
