package proxy

import (
	"strings"
	"sync"

	"github.com/bellwetherdb/bellwether/internal/wire"
)

// A login chooses the character set and collation of the session, and
// COM_RESET_CONNECTION does not bring them back: it sets them to the server's own
// defaults (seen on MySQL 9.7 and MariaDB 10.11). So what a login with a collation
// got from a node is kept, and set again with each reset.

// loginCharsets remembers, by the collation that a login named, the assignments
// that bring a session back to what that login got from one node.
type loginCharsets struct {
	mu  sync.Mutex
	set map[byte]string // guarded by mu; at most 256 entries
}

func (l *loginCharsets) get(collation byte) (assignments string, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	assignments, known = l.set[collation]
	return assignments, known
}

func (l *loginCharsets) put(collation byte, assignments string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.set == nil {
		l.set = make(map[byte]string)
	}
	l.set[collation] = assignments
}

// charsetVariables are what a login's collation chooses. character_set_results
// comes as the word NULL where it is NULL.
var charsetVariables = []string{"character_set_client", "character_set_results", "collation_connection"}

const askCharsets = "SELECT CONCAT(@@character_set_client,' ',IFNULL(@@character_set_results,'NULL'),' ',@@collation_connection)"

// charsetValues splits the answer to askCharsets, in the order of charsetVariables.
// The values are names that can stand in a statement as they are.
func charsetValues(answer string) ([]string, error) {
	values := strings.Fields(answer)
	if len(values) != len(charsetVariables) {
		return nil, wire.ErrMalformed
	}
	for _, v := range values {
		if strings.ContainsFunc(v, func(c rune) bool {
			return c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
		}) {
			return nil, wire.ErrMalformed
		}
	}
	return values, nil
}

// charsetAssignments returns what a SET takes to bring the values back, with a
// comma before each. Where they are of one character set, as after a login, NAMES
// says it: only that brings back the collation of results too.
func charsetAssignments(values []string) string {
	if charset, ok := oneCharset(values); ok {
		return ",NAMES " + charset + " COLLATE " + values[2]
	}
	var sql strings.Builder
	for i, v := range values {
		sql.WriteString(",SESSION " + charsetVariables[i] + "=" + v)
	}
	return sql.String()
}

// oneCharset returns the character set that all the values are of, if they are.
func oneCharset(values []string) (string, bool) {
	charset, _, _ := strings.Cut(values[2], "_")
	return charset, charset == values[0] && charset == values[1]
}

// learnCharsets notes what a fresh session has, so that a reset can bring it back.
// The first session of a node with its collation is asked, and then reset, for a
// question leaves traces.
func (b *backend) learnCharsets(l *loginCharsets, collation byte, mariadb bool) error {
	var known bool
	if b.charsets, known = l.get(collation); known {
		return b.setUp(mariadb)
	}
	answer, err := b.queryText(askCharsets)
	if err != nil {
		return err
	}
	values, err := charsetValues(answer)
	if err != nil {
		b.broken = true
		return err
	}
	b.charsets = charsetAssignments(values)
	l.put(collation, b.charsets)
	return b.reset(mariadb)
}
