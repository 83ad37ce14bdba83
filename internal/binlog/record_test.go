package binlog_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/internal/binlog"
	"github.com/bellwetherdb/bellwether/internal/gtid"
	"github.com/bellwetherdb/bellwether/internal/sandbox"
)

var record = flag.Bool("record", false, "record testdata/*.binlog anew from the servers that are here")

// recordings are binlog files of real servers, named for them.
var recordings = []string{"mariadb-10.11", "mysql-9.7"}

// workload is what the recorded servers did: all kinds of events that they write.
func workload(f gtid.Flavor) []string {
	s := []string{
		"CREATE DATABASE d CHARACTER SET utf8mb4",
		"CREATE TABLE d.t (id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, a VARCHAR(20), b VARCHAR(300) CHARACTER SET latin1," +
			" c CHAR(10), c2 CHAR(255) CHARACTER SET utf8mb4, d DECIMAL(30,10), e ENUM('x','y'), s SET('p','q','r'), f FLOAT, g DOUBLE," +
			" bi BIT(13), tb TINYBLOB, mb MEDIUMTEXT, j JSON, dt DATETIME(3), ts TIMESTAMP(6) NULL, ti TIME(1), da DATE, y YEAR, bg BIGINT," +
			" sm SMALLINT, ti1 TINYINT, me MEDIUMINT, g1 GEOMETRY)",
		"CREATE TABLE d.u (k INT, v INT, UNIQUE (k))",
		"INSERT INTO d.t (a,b,c,c2,d,e,s,f,g,bi,tb,mb,j,dt,ts,ti,da,y,bg,sm,ti1,me,g1) VALUES ('a', REPEAT('b',300), 'c', REPEAT('é',255)," +
			" -1234567890.0987654321, 'y', 'p,r', 1.5, -2.5, b'1010101010101', 'tb', REPEAT('m',1000), '{\"a\": [1,2,{\"b\": \"ccccccccccccccccccccccccc\"}]}'," +
			" '2024-02-29 12:34:56.789', '2024-01-01 00:00:00.123456', '-12:00:01.5', '1000-01-01', 1999, -5, -6, -7, -8, POINT(1,2))",
		"INSERT INTO d.t (a) VALUES (NULL), ('zwei')",
		"UPDATE d.t SET j = JSON_SET(j, '$.a[0]', 7), a = 'neu' WHERE id = 1",
		"DELETE FROM d.t WHERE a = 'zwei'",
		"BEGIN", "INSERT INTO d.u VALUES (1,1),(2,2)", "SAVEPOINT x", "UPDATE d.u SET v = v + 1", "ROLLBACK TO x", "UPDATE d.u SET k = k + 10", "COMMIT",
		"CREATE TABLE d.v AS SELECT * FROM d.u",
		"CREATE TABLE d.m (a INT) ENGINE=MyISAM",
		"INSERT INTO d.m VALUES (1)",
		"SET NAMES latin1", "SET time_zone = '+03:00', sql_mode = 'ANSI', lc_time_names = 'de_DE', timestamp = 1700000000.25, auto_increment_increment = 3",
		"CREATE TABLE d.w (a TIMESTAMP NULL DEFAULT '2001-01-01 00:00:00')",
		"SET timestamp = DEFAULT, NAMES utf8mb4",
		"XA START 'x','y',3", "INSERT INTO d.u VALUES (100, 100)", "XA END 'x','y',3", "XA PREPARE 'x','y',3",
		"XA COMMIT 'x','y',3",
		"XA START 'z'", "INSERT INTO d.u VALUES (101, 100)", "XA END 'z'", "XA COMMIT 'z' ONE PHASE",
		"SET SESSION binlog_format = STATEMENT", "SET @v = 17, @w = 'text', @n = NULL, @d = 1.25", "SET insert_id = 77, rand_seed1 = 1, rand_seed2 = 2",
		"INSERT INTO d.t (a, bg, b) VALUES (@w, @v + @d, @n)", "INSERT INTO d.u SELECT 1000 * RAND() + 500, 3",
		"SET SESSION binlog_format = ROW",
	}
	if f == gtid.MariaDB {
		return append(s, "SET GLOBAL log_bin_compress = ON, log_bin_compress_min_len = 10",
			"CREATE TABLE d.z (k INT, t VARCHAR(2000))", "INSERT INTO d.z VALUES (1, REPEAT('z', 2000))", "UPDATE d.z SET k = 2", "DELETE FROM d.z",
			"CREATE TABLE d.x (a INT COMMENT '"+strings.Repeat("long ", 80)+"')",
			"SET GLOBAL log_bin_compress = OFF, binlog_row_metadata = FULL, binlog_row_image = MINIMAL",
			"SET binlog_row_image = MINIMAL", "UPDATE d.t SET a = 'klein' WHERE id = 1",
			"CREATE TABLE d.cc (a VARCHAR(1000) COMPRESSED, b TEXT COMPRESSED, c INT INVISIBLE)", "INSERT INTO d.cc VALUES (REPEAT('x', 900), REPEAT('y', 5000))",
			"SET SESSION binlog_alter_two_phase = ON", "ALTER TABLE d.cc ADD KEY (c)", "CREATE SEQUENCE d.sq", "SELECT NEXTVAL(d.sq)",
			"SET gtid_domain_id = 5", "INSERT INTO d.m VALUES (2)", "SET gtid_domain_id = 0")
	}
	return append(s, "SET SESSION binlog_transaction_compression = ON", "INSERT INTO d.u VALUES (20000,1), (20001,2)", "UPDATE d.u SET v = 9",
		"SET SESSION binlog_transaction_compression = OFF, SESSION binlog_row_value_options = PARTIAL_JSON",
		"UPDATE d.t SET j = JSON_SET(j, '$.a[1]', 8) WHERE id = 1",
		"SET GLOBAL binlog_row_metadata = FULL, SESSION binlog_row_image = MINIMAL, SESSION binlog_rows_query_log_events = ON",
		"UPDATE d.t SET a = 'klein' WHERE id = 1",
		"CREATE TABLE d.vec (id INT PRIMARY KEY, v VECTOR(3), i INT INVISIBLE)", "INSERT INTO d.vec VALUES (1, STRING_TO_VECTOR('[1,2,3]'))",
		"CREATE TABLE d.mv (id INT PRIMARY KEY, j JSON, KEY ((CAST(j->'$.z' AS UNSIGNED ARRAY))), KEY ((CAST(j->'$.y' AS CHAR(40) ARRAY))))",
		`INSERT INTO d.mv VALUES (1, '{"z": [1,2,3], "y": ["p", "q"]}')`, `UPDATE d.mv SET j = '{"z": [4]}'`,
		"SET GTID_NEXT = 'AUTOMATIC:mytag'", "INSERT INTO d.u VALUES (30000, 1)", "DELETE FROM d.u WHERE k = 30000", "SET GTID_NEXT = 'AUTOMATIC'",
		"SET GTID_NEXT = '11111111-2222-3333-4444-555555555555:othertag:77'", "INSERT INTO d.u VALUES (30001, 1)", "SET GTID_NEXT = 'AUTOMATIC'")
}

// makeBinlog runs the workload on a fresh server, and returns its binlog: two
// files, the second of which begins with what the first left.
func makeBinlog(t *testing.T, server string) (files [2][]byte, f gtid.Flavor) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	s, err := sandbox.Find(ctx, server)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "bwb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	n, err := sandbox.NewNode(sandbox.NodeOptions{Server: s, Name: "db", Dir: dir, ServerID: 7})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = n.Close() }()
	db := n.DB()
	conn, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range append(workload(s.Flavor), "FLUSH BINARY LOGS", "INSERT INTO d.u VALUES (40000, 1)", "FLUSH BINARY LOGS") {
		if _, err := conn.ExecContext(ctx, q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	_ = conn.Close()
	for i, name := range []string{"binlog.000001", "binlog.000002"} {
		if files[i], err = os.ReadFile(filepath.Join(dir, "data", name)); err != nil {
			t.Fatal(err)
		}
	}
	return files, s.Flavor
}

// recorded returns a file of testdata, recording it first where that is asked for.
func recorded(t testing.TB, server string) []byte {
	t.Helper()
	path := filepath.Join("testdata", server+".binlog")
	if tt, ok := t.(*testing.T); ok && *record {
		files, _ := makeBinlog(tt, server)
		if err := os.WriteFile(path, bytes.Join(files[:], nil), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var magic = []byte("\xfebin")

// readFile parses one or more binlog files that are written one behind the other.
func readFile(t testing.TB, b []byte, format func(*binlog.FormatDescription), event func(raw []byte, e binlog.Event)) {
	t.Helper()
	var fde *binlog.FormatDescription
	for at := 0; at < len(b); {
		if bytes.HasPrefix(b[at:], magic) {
			at += len(magic)
			continue
		}
		h, err := binlog.ParseHeader(b[at:])
		if err != nil || int(h.Size) > len(b)-at {
			t.Fatalf("at %d: %v, size %d", at, err, h.Size)
		}
		raw := b[at : at+int(binary.LittleEndian.Uint32(b[at+9:]))]
		at += len(raw)
		if h.Type == binlog.TypeFormatDescription {
			if fde, err = binlog.ParseFormatDescription(raw); err != nil {
				t.Fatal(err)
			}
			format(fde)
			continue
		}
		e, err := binlog.ParseEvent(raw, fde.Checksum == binlog.ChecksumCRC32)
		if err != nil {
			t.Fatal(err)
		}
		event(raw, e)
	}
}
