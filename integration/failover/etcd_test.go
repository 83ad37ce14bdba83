package failover

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/bellwetherdb/bellwether/integration/cluster"
	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// A proxy coordinates by an etcd that speaks TLS only, asks for a certificate and an account, and
// allows it no more than what is below its prefix; a killed leader is replaced.
func TestEtcdWithAccountAndTLS(t *testing.T) {
	cluster.EachFlavor(t, func(t *testing.T, o cluster.Options) {
		certs, err := sandbox.NewCerts(filepath.Join(t.TempDir(), "certs"), "127.0.0.1")
		cluster.Must(t, err)
		etcd, process := cluster.StartEtcd(t, certs)
		guardEtcd(t, etcd, certs)
		f := startAutomatic(t, o, fmt.Sprintf("coordination: {etcd: {endpoints: [%q], prefix: /mine/, name: p1, ttl: 6s, user: proxy, password: secret, "+
			"tls: {mode: verify-identity, ca: %q, cert: %q, key: %q}}}", etcd, certs.CA, certs.ClientCert, certs.ClientKey))
		cluster.Eventually(t, "the leader is written down", func() bool {
			v := stateOf(t, f.proxy)
			return v.Leader == "db1" && v.Coordinates && v.Writes
		})
		cluster.Must(t, f.Node("db1").Kill())
		next := f.newLeader(t, "db1")
		cluster.Must(t, mayWrite(f.proxy.DB(sandbox.AppAccount, sandbox.AppSchema), 1))
		if v := stateOf(t, f.proxy); v.Leader != next.Name() {
			t.Errorf("%s leads, and the record says %s", next.Name(), v.Leader)
		}
		cluster.Eventually(t, "the metrics tell what happened", func() bool {
			_, m := f.proxy.Get("/metrics")
			return strings.Contains(m, `bellwether_leader_changes_total{kind="failover",outcome="finished"} 1`) && strings.Contains(m, "bellwether_failover_coordinates 1") &&
				strings.Contains(m, "bellwether_failover_lease 1") && strings.Contains(m, "bellwether_failover_writes 1") && strings.Contains(m, "bellwether_failover_changing 0")
		})

		// A proxy that starts while nobody can log in to etcd serves nothing that it may not, and all
		// as soon as somebody can.
		cluster.Must(t, process.Signal(syscall.SIGSTOP))
		f.proxy.Kill()
		f.proxy.Restart()
		if v := stateOf(t, f.proxy); v.Lease || v.Writes {
			t.Errorf("without etcd: %+v", v)
		}
		cluster.Eventually(t, "it tried", func() bool { return strings.Contains(f.proxy.Log(), "etcd cannot be asked") })
		cluster.Must(t, process.Signal(syscall.SIGCONT))
		cluster.Eventually(t, "it coordinates again", func() bool {
			v := stateOf(t, f.proxy)
			return v.Leader == next.Name() && v.Coordinates && v.Writes
		})
		cluster.Must(t, mayWrite(f.proxy.DB(sandbox.AppAccount, sandbox.AppSchema), 2))
	})
}

// guardEtcd makes accounts, and asks for them from then on.
func guardEtcd(t *testing.T, endpoint string, certs *sandbox.Certs) {
	t.Helper()
	encryption, err := mysqlconn.TLS{Mode: mysqlconn.TLSVerifyIdentity, CA: certs.CA, Cert: certs.ClientCert, Key: certs.ClientKey}.Config("")
	cluster.Must(t, err)
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{"https://" + endpoint}, DialTimeout: 20 * time.Second, Logger: zap.NewNop(), TLS: encryption})
	cluster.Must(t, err)
	defer func() { _ = c.Close() }()
	ctx := t.Context()
	do := func(_ any, err error) { t.Helper(); cluster.Must(t, err) }
	do(c.UserAdd(ctx, "root", "root"))
	do(c.UserGrantRole(ctx, "root", "root"))
	do(c.UserAdd(ctx, "proxy", "secret"))
	do(c.RoleAdd(ctx, "proxies"))
	do(c.RoleGrantPermission(ctx, "proxies", "/mine/", clientv3.GetPrefixRangeEnd("/mine/"), clientv3.PermissionType(clientv3.PermReadWrite)))
	do(c.UserGrantRole(ctx, "proxy", "proxies"))
	do(c.AuthEnable(ctx))
}
