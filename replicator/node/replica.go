package node

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/bellwetherdb/bellwether/internal/mysqlconn"
)

// Source says from where, and as whom, a server replicates by itself.
type Source struct {
	Address  string // host:port
	User     string
	Password string
	TLS      bool // encrypted; the certificate is not checked
}

// StopReplica stops the server's own replication, where there is any. A
// transaction that is being applied is finished or rolled back.
func (s *Server) StopReplica(ctx context.Context) error {
	if s.IsMariaDB() {
		return Exec(ctx, s.DB, "STOP ALL SLAVES")
	}
	return Exec(ctx, s.DB, "STOP REPLICA")
}

// ForgetReplica removes the settings of the server's own replication, and with
// them its relay logs.
func (s *Server) ForgetReplica(ctx context.Context) error {
	if err := s.StopReplica(ctx); err != nil {
		return err
	}
	if !s.IsMariaDB() {
		return Exec(ctx, s.DB, "RESET REPLICA ALL")
	}
	names, err := s.replicaColumn(ctx, "Connection_name")
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := Exec(ctx, s.DB, "RESET SLAVE "+quote(name)+" ALL"); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) replicaColumn(ctx context.Context, column string) ([]string, error) {
	rows, err := s.ReplicaStatus(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, r := range rows {
		out = append(out, r[column])
	}
	return out, nil
}

// ReplicaStatus is the server's own account of its replication, a row per
// connection to a source; none where it follows nobody.
func (s *Server) ReplicaStatus(ctx context.Context) ([]map[string]string, error) {
	if s.IsMariaDB() {
		return Rows(ctx, s.DB, "SHOW ALL SLAVES STATUS")
	}
	return Rows(ctx, s.DB, "SHOW REPLICA STATUS")
}

// StartReplica lets the server replicate by itself from src, from where it
// stands by GTID. It hears from src every second at least, and tries every second
// to connect, for ever.
func (s *Server) StartReplica(ctx context.Context, src Source) error {
	_, address := mysqlconn.Network(src.Address)
	host, port, err := net.SplitHostPort(address)
	if err != nil || strings.HasPrefix(src.Address, "/") {
		return fmt.Errorf("a server cannot replicate from %q: it needs host:port", src.Address)
	}
	if s.IsMariaDB() {
		ssl := ""
		if src.TLS {
			ssl = ", MASTER_SSL=1, MASTER_SSL_VERIFY_SERVER_CERT=0"
		}
		return Exec(ctx, s.DB,
			fmt.Sprintf("CHANGE MASTER TO MASTER_HOST=%s, MASTER_PORT=%s, MASTER_USER=%s, MASTER_PASSWORD=%s, MASTER_USE_GTID=slave_pos,"+
				" MASTER_CONNECT_RETRY=1, MASTER_HEARTBEAT_PERIOD=1%s",
				quote(host), port, quote(src.User), quote(src.Password), ssl),
			"START SLAVE")
	}
	secure := "GET_SOURCE_PUBLIC_KEY=1"
	if src.TLS {
		secure = "SOURCE_SSL=1"
	}
	return Exec(ctx, s.DB,
		fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_HOST=%s, SOURCE_PORT=%s, SOURCE_USER=%s, SOURCE_PASSWORD=%s, SOURCE_AUTO_POSITION=1,"+
			" SOURCE_CONNECT_RETRY=1, SOURCE_RETRY_COUNT=1000000, SOURCE_HEARTBEAT_PERIOD=1, %s",
			quote(host), port, quote(src.User), quote(src.Password), secure),
		"START REPLICA")
}

// ReplicaError is what keeps the server's own replication from running, empty
// where nothing does.
func (s *Server) ReplicaError(ctx context.Context) (string, error) {
	rows, err := s.ReplicaStatus(ctx)
	if err != nil {
		return "", err
	}
	for _, r := range rows {
		for _, key := range []string{"Last_IO_Error", "Last_SQL_Error"} {
			if r[key] != "" {
				return r[key], nil
			}
		}
	}
	return "", nil
}

// SetReadOnly makes the server refuse writes of clients. own says that its own
// replication applies, so that nobody else need write: MySQL then refuses the
// privileged too.
func (s *Server) SetReadOnly(ctx context.Context, own bool) error {
	if s.IsMariaDB() || !own {
		if !s.IsMariaDB() {
			if err := Exec(ctx, s.DB, "SET GLOBAL super_read_only=0"); err != nil {
				return err
			}
		}
		return Exec(ctx, s.DB, "SET GLOBAL read_only=1")
	}
	return Exec(ctx, s.DB, "SET GLOBAL super_read_only=1")
}

func quote(s string) string {
	return "'" + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), "'", "''") + "'"
}
