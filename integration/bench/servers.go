package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

// servers are the leader and its two followers. All targets share them.
type servers struct {
	cluster *sandbox.Cluster
}

// maxSessions is the servers' max_connections.
const maxSessions = 6000

// startServers starts the servers and lays the tables. The whole table fits in
// the buffer pool, and commits are not synced: the servers are to be no
// heavier than they must be.
func startServers(ctx context.Context, dir string, rows int) (*servers, error) {
	server, err := sandbox.Find(ctx, "mariadb")
	if err != nil {
		return nil, err
	}
	c, err := sandbox.NewCluster(sandbox.ClusterOptions{
		Server: server, Dir: filepath.Join(dir, "servers"), Followers: 2,
		Node: func(_ int, o *sandbox.NodeOptions) {
			o.BufferPool = "96M"
			o.ExtraArgs = []string{
				fmt.Sprint("--max-connections=", maxSessions), "--back-log=2000", "--table-open-cache=2000",
				"--skip-name-resolve",
			}
		},
	})
	if err != nil {
		return nil, err
	}
	if err := c.Start(ctx); err != nil {
		return nil, err
	}
	s := &servers{cluster: c}
	if err := s.load(ctx, rows); err != nil {
		_ = c.Close()
		return nil, err
	}
	return s, nil
}

// load makes sysbench's table and bulk, whose rows are 10 MB together.
func (s *servers) load(ctx context.Context, rows int) error {
	if _, err := runSysbench(ctx, s.cluster.Leader.Addr(), "oltp_read_only", rows, nil, "prepare"); err != nil {
		return err
	}
	for _, q := range []string{
		"CREATE TABLE " + sandbox.AppSchema + ".bulk (id INT PRIMARY KEY, payload VARBINARY(200) NOT NULL)",
		"INSERT INTO " + sandbox.AppSchema + ".bulk SELECT seq, REPEAT('x', 200) FROM " + sandbox.AppSchema + ".seq_1_to_50000",
	} {
		if _, err := s.cluster.Leader.DB().ExecContext(ctx, q); err != nil {
			return fmt.Errorf("%s: %w", q, err)
		}
	}
	return s.cluster.WaitReplicated(ctx)
}

// selects is how many SELECT statements the leader and the followers have run.
func (s *servers) selects(ctx context.Context) (leader, followers float64, err error) {
	for i, n := range s.cluster.Nodes() {
		var name string
		var v float64
		err := n.DB().QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE 'Com_select'").Scan(&name, &v)
		if err != nil {
			return 0, 0, fmt.Errorf("ask %s for its counters: %w", n.Name(), err)
		}
		if i == 0 {
			leader = v
		} else {
			followers += v
		}
	}
	return leader, followers, nil
}
