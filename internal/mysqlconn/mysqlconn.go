package mysqlconn

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"
)

// DefaultPort is used where an address has none.
const DefaultPort = "3306"

// Config says how to reach one node.
type Config struct {
	Address  string // host, host:port, [ipv6]:port, or the absolute path of a unix socket
	User     string
	Password string
	TLS      TLS

	ConnectTimeout time.Duration // for dialling; 0: 5 s
	IOTimeout      time.Duration // for each read and write; 0: 10 s. Contexts can be shorter
	MaxConns       int           // 0: 1
	MaxLifetime    time.Duration // of a connection; 0: no limit
	MaxPacket      int           // bytes of a statement at most; 0: 64 MiB

	// Program is told to the server as the program_name attribute, so that people
	// can tell what they see in the process list.
	Program string
}

// Open returns a pool for one node. It connects on first use. log may be nil.
func Open(cfg Config, log *slog.Logger) (*sql.DB, error) {
	network, address := Network(cfg.Address)
	tlsConfig, err := cfg.TLS.Config(address)
	if err != nil {
		return nil, err
	}
	dc := mysql.NewConfig()
	dc.User, dc.Passwd = cfg.User, cfg.Password
	dc.Net, dc.Addr = network, address
	dc.Timeout = orDefault(cfg.ConnectTimeout, 5*time.Second)
	dc.ReadTimeout = orDefault(cfg.IOTimeout, 10*time.Second)
	dc.WriteTimeout = dc.ReadTimeout
	if c := cfg.MaxPacket; c > 0 {
		dc.MaxAllowedPacket = c
	}
	dc.MultiStatements = true // a probe is one round trip
	dc.InterpolateParams = true
	dc.AllowNativePasswords = true
	dc.ConnectionAttributes = "program_name:" + orDefault(cfg.Program, "bellwether")
	dc.Logger = driverLog{log: log, address: address}
	if network == "tcp" { // a unix socket never leaves the machine
		dc.TLS = tlsConfig
		dc.AllowFallbackToPlaintext = cfg.TLS.Mode == TLSPreferred
	}
	connector, err := mysql.NewConnector(dc)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", address, err)
	}
	db := sql.OpenDB(connector)
	n := max(cfg.MaxConns, 1)
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	db.SetConnMaxLifetime(cfg.MaxLifetime)
	return db, nil
}

// Network splits a node's address into what net.Dial wants. A path is a unix
// socket; anything else is TCP, with MySQL's port where none is given.
func Network(address string) (network, addr string) {
	if strings.HasPrefix(address, "/") || strings.HasPrefix(address, "@") {
		return "unix", address
	}
	if _, _, err := net.SplitHostPort(address); err == nil {
		return "tcp", address
	}
	return "tcp", net.JoinHostPort(strings.Trim(address, "[]"), DefaultPort)
}

// Unreachable reports whether err proves that nobody listens at the address:
// the connection was refused, or the socket's file is not there. A timeout
// proves nothing.
func Unreachable(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist)
}

// ServerError returns the number and text of an error that the server itself
// sent, and false for any other error.
func ServerError(err error) (number uint16, message string, ok bool) {
	var me *mysql.MySQLError
	if !errors.As(err, &me) {
		return 0, "", false
	}
	return me.Number, me.Message, true
}

// Describe is err for people: what the driver calls a bad or invalid
// connection is told as a lost one.
func Describe(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, mysql.ErrInvalidConn), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection lost"
	default:
		return err.Error()
	}
}

// QuoteName quotes an identifier.
func QuoteName(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// driverLog carries what the driver would print on stderr.
type driverLog struct {
	log     *slog.Logger
	address string
}

var _ mysql.Logger = driverLog{}

func (l driverLog) Print(v ...any) {
	if l.log == nil {
		return
	}
	l.log.Debug("driver message", "address", l.address, "message", strings.TrimSpace(fmt.Sprint(v...)))
}
