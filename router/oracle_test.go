package router_test

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/pingcap/tidb/pkg/parser"
	"github.com/pingcap/tidb/pkg/parser/ast"
	_ "github.com/pingcap/tidb/pkg/parser/test_driver"

	"github.com/bellwetherdb/bellwether/internal/corpus"
	"github.com/bellwetherdb/bellwether/router"
)

// astVerdict is what the syntax tree of a statement says.
type astVerdict struct {
	read      bool   // a plain read
	why       string // else why not
	temporary bool
	account   bool
	local     bool
	kill      uint64
}

// stateful are functions that are no plain read, whatever the arguments. The
// list is the oracle's own, written from the manuals.
var stateful = map[string]bool{}

func init() {
	for f := range strings.FieldsSeq(`get_lock release_lock release_all_locks is_free_lock is_used_lock last_insert_id found_rows
		row_count connection_id user current_user session_user system_user current_role nextval lastval setval
		load_file uuid_short master_pos_wait source_pos_wait version`) {
		stateful[f] = true
	}
}

// judge visits a syntax tree.
type judge struct{ why string }

func (j *judge) Enter(n ast.Node) (ast.Node, bool) {
	switch n := n.(type) {
	case *ast.SelectStmt:
		if n.LockInfo != nil && n.LockInfo.LockType != ast.SelectLockNone {
			j.why = "locks rows"
		}
		if n.SelectIntoOpt != nil {
			j.why = "writes a file or variables"
		}
		if n.SelectStmtOpts != nil && n.SelectStmtOpts.CalcFoundRows {
			j.why = "counts found rows"
		}
	case *ast.VariableExpr:
		j.why = "a variable"
	case *ast.FuncCallExpr:
		if stateful[n.FnName.L] {
			j.why = "function " + n.FnName.L
		}
		if n.Schema.L != "" {
			j.why = "a stored function"
		}
	case *ast.InsertStmt, *ast.UpdateStmt, *ast.DeleteStmt:
		j.why = "writes rows"
	}
	return n, false
}

func (j *judge) Leave(n ast.Node) (ast.Node, bool) { return n, true }

// sharedShows are SHOW statements whose answer all servers share.
var sharedShows = map[ast.ShowStmtType]bool{
	ast.ShowDatabases: true, ast.ShowTables: true, ast.ShowColumns: true, ast.ShowCharset: true, ast.ShowCollation: true, ast.ShowCreateTable: true,
	ast.ShowCreateView: true, ast.ShowTriggers: true, ast.ShowProcedureStatus: true, ast.ShowFunctionStatus: true, ast.ShowCreateDatabase: true,
	ast.ShowCreateProcedure: true, ast.ShowCreateSequence: true,
}

func judgeStatement(n ast.StmtNode) (v astVerdict) {
	j := &judge{}
	switch n := n.(type) {
	case *ast.SelectStmt, *ast.SetOprStmt:
		n.Accept(j)
	case *ast.ShowStmt:
		n.Accept(j)
		if !sharedShows[n.Tp] {
			j.why = "SHOW of a server's own state"
		}
	case *ast.ExplainStmt:
		if n.Explore {
			break // DESCRIBE of a table called explore, for a server
		}
		if n.Stmt == nil {
			j.why = "EXPLAIN of TiDB's own"
			break
		}
		inner := judgeStatement(n.Stmt)
		j.why = inner.why
	case *ast.CreateTableStmt:
		v.temporary = n.TemporaryKeyword == ast.TemporaryLocal
		j.why = "not a query"
	case *ast.LoadDataStmt:
		v.local = n.FileLocRef == ast.FileLocClient
		j.why = "not a query"
	case *ast.CreateUserStmt, *ast.AlterUserStmt, *ast.DropUserStmt, *ast.RenameUserStmt, *ast.GrantStmt, *ast.RevokeStmt,
		*ast.GrantRoleStmt, *ast.RevokeRoleStmt, *ast.SetPwdStmt, *ast.SetDefaultRoleStmt, *ast.GrantProxyStmt:
		v.account = true
		j.why = "not a query"
	case *ast.KillStmt:
		v.kill = n.ConnectionID
		j.why = "not a query"
	default:
		j.why = "not a query"
	}
	v.read, v.why = j.why == "", j.why
	return v
}

// explained are the reasons for which a statement that its syntax tree takes
// for a plain read may go to the leader, each with the explanation.
var explained = map[router.Reason]string{
	router.ReasonUnknownFunction:    "a function that is not built in, or not surely: an application's own stored function may have the name, and the tree does not tell which functions a server has",
	router.ReasonServerFunction:     "its answer is each server's own; a tree holds only its name",
	router.ReasonServerSchema:       "information_schema and kin describe one server; to the tree they are tables",
	router.ReasonSequence:           "DEFAULT(column) may take a sequence's next value in MariaDB",
	router.ReasonExecutableComment:  "the tree has the code in the comment; a server of another version has not",
	router.ReasonUnlexable:          "bytes that not all servers take alike: brackets, $ names, NUL",
	router.ReasonMultiStatement:     "an empty second statement",
	router.ReasonCharset:            "introducers of sets whose tails look like quotes",
	router.ReasonForUpdate:          "LOCK or SHARE as a name, where TiDB does not reserve it",
	router.ReasonConnectionFunction: "CURRENT_USER and kin without parentheses, or as names where TiDB does not reserve them",
	router.ReasonServerState:        "SHOW with more detail than the tree's kind has",
}

// sources returns the corpus as loose statements by source.
func sources(t *testing.T) map[string][]string {
	scripts, err := corpus.Load(t.Context())
	if err != nil && !errors.Is(err, corpus.ErrMissing) {
		t.Fatal(err)
	}
	if err != nil {
		t.Logf("left out: %v", err)
	}
	out := map[string][]string{"generated": corpus.Generate(20000, 1)}
	for _, s := range scripts {
		out[s.Source] = append(append(out[s.Source], s.SetUp...), s.Statements...)
	}
	for name, list := range out {
		slices.Sort(list)
		out[name] = slices.Compact(list)
	}
	return out
}

// TestOracleParser compares Classify with the syntax trees of pingcap's parser
// over the corpus. No statement that the tree does not take for a plain read
// may be called one; the other way round each disagreement is for a reason that
// is explained above.
func TestOracleParser(t *testing.T) {
	total := 0
	for name, list := range sources(t) {
		t.Run(name, func(t *testing.T) {
			p := parser.New()
			unparsed, reads := 0, 0
			disagree := map[router.Reason][]string{}
			for _, q := range list {
				if strings.Contains(q, "/*T") {
					continue // TiDB's own executable comments; plain ones to all servers
				}
				nodes, _, err := p.Parse(q, "", "")
				if err != nil || len(nodes) == 0 {
					unparsed++
					continue
				}
				st := router.Classify([]byte(q), router.Mode{}, nil)
				checkStatement(t, q, nodes, &st)
				total++
				if v := judgeStatement(nodes[0]); len(nodes) == 1 && v.read {
					if reads++; !st.IsRead() {
						disagree[st.Reason] = append(disagree[st.Reason], q)
					}
				}
			}
			t.Logf("%d statements, %d not parsed, %d plain reads by the tree", len(list), unparsed, reads)
			report(t, disagree)
		})
	}
	if total < 10000 {
		t.Logf("only %d statements were compared", total)
	}
}

// checkStatement fails where a flag that matters is missing.
func checkStatement(t *testing.T, q string, nodes []ast.StmtNode, st *router.Statement) {
	t.Helper()
	if len(nodes) > 1 && !st.Multi {
		t.Errorf("%d statements, and Multi is not set: %q", len(nodes), q)
	}
	for _, n := range nodes {
		v := judgeStatement(n)
		if st.IsRead() && !v.read {
			t.Errorf("is called a read, and is not (%s): %q", v.why, q)
		}
		if v.temporary && !st.CreatesTempTable {
			t.Errorf("a temporary table is missed: %q", q)
		}
		if v.account && !st.AccountAdmin {
			t.Errorf("account administration is missed: %q", q)
		}
		if v.local && len(nodes) == 1 && st.Verb != router.VerbLoadLocal {
			t.Errorf("LOAD DATA LOCAL is missed: %q", q)
		}
		if len(nodes) == 1 && v.kill != 0 && (st.Verb != router.VerbKill || !st.KillOther && st.KillID != v.kill) {
			t.Errorf("KILL %d is taken for %d: %q", v.kill, st.KillID, q)
		}
	}
}

// report prints the disagreements by reason, and fails for one that nobody explained.
func report(t *testing.T, disagree map[router.Reason][]string) {
	t.Helper()
	order := slices.SortedFunc(maps.Keys(disagree), func(a, b router.Reason) int {
		return cmp.Compare(len(disagree[b]), len(disagree[a]))
	})
	for _, r := range order {
		list := disagree[r]
		if why, ok := explained[r]; ok {
			t.Logf("%5d plain reads go to the leader as %v: %s", len(list), r, why)
			continue
		}
		t.Errorf("%d plain reads go to the leader as %v, which is not explained: %q", len(list), r, list[:min(len(list), 5)])
	}
}
