package apply

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/bellwetherdb/bellwether/internal/binlog"
	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// command is what is sent to the server at once: statements in one text, of
// which the server runs none after one that failed.
type command struct {
	guard      string // the beginning of the first statement
	plain      string // what may stand there where it is known that all before has committed
	text       []byte
	statements int
	alone      bool // nothing may be on the wire before it, and nothing be sent until it is answered
}

func (c *command) add(parts ...string) {
	if c.statements > 0 {
		c.text = append(c.text, ';')
	}
	for _, p := range parts {
		c.text = append(c.text, p...)
	}
	c.statements++
}

// more adds to the last statement.
func (c *command) more(text string) { c.text = append(c.text, text...) }

// encoder makes commands of a leader's transactions.
type encoder struct {
	maxText int // bytes that a command may have: the follower's max_allowed_packet

	format []byte         // the format description that the session was given last
	maps   []binlog.Event // of the last statement
	open   bool           // that goes on behind the last BINLOG
	seq    uint64         // of the last transaction
	passed string         // is true in the session when that has committed
	split  bool           // COMMIT is a command of its own
	made   *creation      // the table that the present transaction creates from a query; nil: none

	// autocommit is what the session was told last. A command that fails is sent again, with all
	// behind it, before anything else is.
	autocommit int
	domain     int64 // MariaDB: gtid_domain_id as the session has it; -1: not known
}

// guardVar is MySQL's user variable that holds the number of the last transaction that
// committed. MariaDB has a variable of its own for that, @@last_gtid.
const guardVar = "@bellwether_applied"

// baseSession is what rows are applied under. Whether rows are checked against
// foreign keys is in their events.
const baseSession = "character_set_client=utf8mb3,collation_connection=utf8mb4_bin,time_zone=DEFAULT,foreign_key_checks=1,unique_checks=1," +
	"auto_increment_increment=1,auto_increment_offset=1,timestamp=DEFAULT,lc_time_names=DEFAULT,sql_auto_is_null=0"

var (
	errXA          = errors.New("XA transactions cannot be applied")
	errTwoPhase    = errors.New("two-phase ALTER TABLE cannot be applied; set binlog_alter_two_phase=OFF on the leader")
	errExtensions  = errors.New("its GTID event has fields that are not known here")
	errAnonymous   = errors.New("it has no GTID")
	errNoRollback  = errors.New("it changes tables that cannot roll back")
	errIncident    = errors.New("the leader's binlog lacks something here")
	errStatement   = errors.New("a statement inside of a transaction cannot be applied; set binlog_format=ROW on the leader")
	errStatusVar   = errors.New("a status variable of its statement is not known here")
	errFailed      = errors.New("its statement failed on the leader, in part")
	errTooLarge    = errors.New("an event is larger than the follower's max_allowed_packet allows")
	errUnknownKind = errors.New("an event of a type that cannot be applied")
)

// unguarded is what a command begins with where it needs no guard. Where commits are split
// off, no transaction is on the wire behind another one.
const unguarded = "SET sql_mode=''"

func newEncoder(f gtid.Flavor, split bool) encoder {
	e := encoder{maxText: 1 << 20, passed: guardVar + "<=>0", split: split, autocommit: 1, domain: -1}
	if f == gtid.MariaDB {
		e.passed = "@@last_gtid<=>''"
	}
	return e
}

// check says why a transaction cannot be applied faithfully, by its header.
func check(h *binlog.TxnHeader) error {
	switch {
	case h.XA != nil, h.Flags&(binlog.FlagPreparedXA|binlog.FlagCompletedXA) != 0:
		return errXA
	case h.FlagsExtra&(binlog.ExtraStartAlter|binlog.ExtraCommitAlter|binlog.ExtraRollbackAlter) != 0:
		return errTwoPhase
	case h.UnknownNeededExtensions:
		return errExtensions
	case h.Anonymous:
		return errAnonymous
	}
	return nil
}

// guarded is an assignment that fails unless what was sent before has committed.
func (e *encoder) guarded() string {
	return "sql_mode=IF(" + e.passed + ",'','an earlier transaction failed')"
}

// begin adds the statements that open the transaction: the guard, and its GTID. autocommit
// says that it ends with its next statement.
func (e *encoder) begin(c *command, p *binlog.Part, autocommit bool) {
	e.maps, e.open = e.maps[:0], false
	c.plain = unguarded
	if c.guard = unguarded; !e.split {
		c.guard = "SET " + e.guarded()
	}
	c.statements++
	// Nothing may be committed before the guard has been passed, and this statement is all or nothing.
	if now := bit(autocommit); now != e.autocommit {
		e.autocommit = now
		c.more(fmt.Sprintf(",autocommit=%d", now))
	}
	e.describe(c, p)
	e.name(c, p.Txn.GTID)
}

// describe gives the session the format of the events that follow, where it is another one.
func (e *encoder) describe(c *command, p *binlog.Part) {
	raw := p.Format.StripChecksum().Raw
	if bytes.Equal(raw, e.format) {
		return
	}
	if p.Txn.GTID.Flavor == gtid.MySQL {
		c.add("SET gtid_next='AUTOMATIC'") // else 1837, behind the last commit
	}
	c.add("BINLOG '", base64.StdEncoding.EncodeToString(raw), "'")
	c.add(unguarded)
	e.format = raw
}

// name adds assignments that give the transaction its GTID.
func (e *encoder) name(c *command, g binlog.GTID) {
	e.seq++
	if g.Flavor == gtid.MySQL {
		c.more(",gtid_next='" + g.String() + "'")
		e.passed = fmt.Sprintf("%s<=>%d", guardVar, e.seq)
		return
	}
	if !e.inDomain(g) {
		// In a statement of its own: the server checks a number against the domain that the session
		// had before the statement.
		e.domain = int64(g.Domain)
		c.more(fmt.Sprintf(",gtid_domain_id=%d", g.Domain))
		c.add(unguarded)
	}
	c.more(fmt.Sprintf(",server_id=%d,gtid_seq_no=%d", g.Server, g.Seq))
	e.passed = "@@last_gtid<=>'" + g.String() + "'"
}

// inDomain reports whether the session numbers in the GTID's domain (MariaDB).
func (e *encoder) inDomain(g binlog.GTID) bool { return e.domain == int64(g.Domain) }

// committed is what stands behind a commit, for the guard of the next transaction.
func (e *encoder) committed(c *command, f gtid.Flavor) {
	if f == gtid.MySQL && !e.split {
		c.add(fmt.Sprintf("SET %s=%d", guardVar, e.seq))
	}
}

// part turns a part of a transaction into commands.
func (e *encoder) part(p *binlog.Part) ([]command, error) {
	out := []command{{alone: !p.First || !p.Last}}
	cur := func() *command { return &out[len(out)-1] }
	if p.First {
		if err := check(p.Txn); err != nil {
			return nil, err
		}
		if raw := e.merge(p); raw != nil {
			return e.small(p, raw), nil
		}
		e.made = nil
		made, when, err := creates(p)
		if err != nil {
			return nil, err
		}
		text := p.Last && p.End == binlog.EndStatement
		switch {
		case made != nil:
			if out, err = e.create(p, made, when); err != nil {
				return nil, err
			}
		case text:
			e.begin(cur(), p, true)
			return e.statement(out[0], p)
		default:
			e.begin(cur(), p, false)
		}
	}
	staging := e.made != nil && e.made.def != nil
	var rows []binlog.Event
	size := 0
	flush := func() error {
		if len(rows) == 0 {
			return nil
		}
		text, err := e.rows(rows)
		if err != nil {
			return err
		}
		if len(text) > e.maxText/2 && cur().statements > 0 {
			out = append(out, command{})
		}
		if len(text)+len(cur().text)+256 > e.maxText {
			return errTooLarge
		}
		cur().add("BINLOG '", text, "'")
		rows, size = rows[:0], 0
		return nil
	}
	for _, ev := range p.Events {
		switch {
		case ev.Type == binlog.TypeTableMap || ev.Type.IsRows():
			if ev.Type.IsRows() && size > 0 && base64.StdEncoding.EncodedLen(size+len(ev.Raw)) > e.maxText/4 {
				if err := flush(); err != nil {
					return nil, err
				}
				out = append(out, command{})
			}
			if staging && ev.Type == binlog.TypeTableMap {
				var err error
				if ev, err = staged(ev); err != nil {
					return nil, err
				}
			}
			rows = append(rows, ev)
			size += len(ev.Raw)
		case ev.Type == binlog.TypeRowsQuery, ev.Type == binlog.TypeAnnotateRows, ev.Type == binlog.TypeXid:
		case ev.Type == binlog.TypeQuery:
			if err := flush(); err != nil {
				return nil, err
			}
			if err := e.inner(cur(), ev); err != nil { // a definition has been seen to
				return nil, err
			}
		case ev.Flags&binlog.FlagIgnorable != 0:
		default:
			return nil, fmt.Errorf("%w: %s", errUnknownKind, ev.Type)
		}
	}
	if err := flush(); err != nil {
		return nil, err
	}
	pieces := len(out)
	switch {
	case p.Last && staging:
		if p.End != binlog.EndXid && p.End != binlog.EndCommit {
			return nil, errCreation
		}
		out = append(out, e.created(p)...)
	case p.Last:
		if e.split && cur().statements > 0 {
			out = append(out, command{})
		}
		if err := e.end(cur(), p); err != nil {
			return nil, err
		}
	}
	out = slices.DeleteFunc(out, func(c command) bool { return c.statements == 0 })
	if pieces > 1 {
		for i := range out {
			out[i].alone = true
		}
	}
	return out, nil
}

func (e *encoder) end(c *command, p *binlog.Part) error {
	switch p.End {
	case binlog.EndXid, binlog.EndCommit:
		if p.Txn.GTID.Flavor == gtid.MariaDB && p.Txn.Flags&binlog.FlagTransactional == 0 && !onlySequences(p) {
			return errNoRollback
		}
		c.add("COMMIT")
		if e.made != nil {
			c.add("SET ", e.made.restore)
			e.made = nil
		}
		e.committed(c, p.Txn.GTID.Flavor)
		return nil
	case binlog.EndRollback:
		return errNoRollback
	case binlog.EndXAPrepare:
		return errXA
	case binlog.EndIncident:
		return errIncident
	}
	return fmt.Errorf("%w: it ends with %s", errUnknownKind, p.End)
}

// onlySequences reports whether a transaction does nothing but set MariaDB's sequences. That does
// not roll back, and need not: done twice it is the same.
func onlySequences(p *binlog.Part) bool {
	found := false
	for _, ev := range p.Events {
		if ev.Type != binlog.TypeTableMap {
			continue
		}
		if m, err := binlog.ParseTableMap(ev, gtid.MariaDB); err != nil || !isSequence(m) {
			return false
		}
		found = true
	}
	return found && p.First
}

// rows is the text of a BINLOG statement. The server forgets tables at its end,
// so the maps of a statement that goes on are repeated in the next one, and
// the last row event is marked as its statement's end.
func (e *encoder) rows(events []binlog.Event) (string, error) {
	var raw []byte
	if e.open {
		for _, m := range e.maps {
			raw = m.Replayable(raw)
		}
	}
	last, ended := -1, !e.open
	for _, ev := range events {
		if ev.Type == binlog.TypeTableMap {
			if ended {
				e.maps = e.maps[:0]
			}
			e.maps = append(e.maps, ev)
			ended = false
		} else {
			r, err := binlog.ParseRows(ev)
			if err != nil {
				return "", err
			}
			last, ended = len(raw), r.Flags&binlog.RowsStatementEnd != 0
		}
		raw = ev.Replayable(raw)
	}
	e.open = !ended
	if last >= 0 && e.open {
		at := last + flagsAt
		binary.LittleEndian.PutUint16(raw[at:], binary.LittleEndian.Uint16(raw[at:])|binlog.RowsStatementEnd)
	}
	return base64.StdEncoding.EncodeToString(raw), nil
}

// inner adds a Query event that stands inside of a transaction.
func (e *encoder) inner(c *command, ev binlog.Event) error {
	q, err := binlog.ParseQuery(ev)
	if err != nil {
		return err
	}
	switch {
	case q.Is("BEGIN"), q.Is("COMMIT"), q.Is("ROLLBACK"):
		return nil
	case e.made != nil && bytes.Equal(q.Text, e.made.query.Text):
		return nil
	case hasWords(q.Text, "XA"):
		return errXA
	case hasWords(q.Text, "SAVEPOINT"), hasWords(q.Text, "ROLLBACK", "TO"), hasWords(q.Text, "RELEASE", "SAVEPOINT"):
		if bytes.IndexByte(q.Text, 0) >= 0 {
			return errStatement
		}
		c.add(string(q.Text))
		return nil
	}
	return errStatement
}

// hasWords reports whether text begins with words, whatever their case.
func hasWords(text []byte, words ...string) bool {
	fields := bytes.Fields(text)
	if len(fields) <= len(words) {
		return false
	}
	for i, w := range words {
		if !bytes.EqualFold(fields[i], []byte(w)) {
			return false
		}
	}
	return true
}
