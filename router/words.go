package router

// kw is a keyword that the classifier asks for by name.
type kw uint8

const (
	kwNone  kw = iota
	kwOther    // a keyword that matters only to digests
	kwAdmin    // begins a statement of administration
	kwAlter
	kwAnalyze
	kwAny
	kwAs
	kwAutocommit
	kwBegin
	kwBy
	kwCall
	kwChain
	kwCharacter
	kwCollation
	kwColumns
	kwCommit
	kwCompound
	kwConnection
	kwCount
	kwCreate
	kwCurrentUser
	kwCursor
	kwData
	kwDatabase
	kwDatabases
	kwDeallocate
	kwDeclare
	kwDefault
	kwDelete
	kwDesc
	kwDescribe
	kwDo
	kwDrop
	kwDumpfile
	kwErrors
	kwEvent
	kwExecute
	kwExplain
	kwExport
	kwExtended
	kwFetch
	kwFields
	kwFlush
	kwFor
	kwFormat
	kwFrom
	kwFull
	kwFunction
	kwGlobal
	kwGrant
	kwGroup
	kwHandler
	kwHard
	kwHelp
	kwID
	kwImmediate
	kwInsert
	kwInstance
	kwInto
	kwJoin
	kwKill
	kwLateral // reserved in MySQL only
	kwLoad
	kwLocal
	kwLock
	kwMysql
	kwNames
	kwNo
	kwNot
	kwOnly
	kwOpen
	kwOption
	kwOutfile
	kwPackage
	kwPartitions
	kwPassword
	kwPersist
	kwPrepare
	kwPrivileges
	kwProcedure
	kwProfile
	kwProfiles
	kwQuery
	kwRead
	kwRecursive
	kwRelease
	kwRename
	kwReplace
	kwRestrict
	kwRevoke
	kwRole
	kwRollback
	kwRollup
	kwRoute
	kwSavepoint
	kwSchema
	kwSchemas
	kwSelect
	kwSequence
	kwSequenceColumn // nextval, currval, lastval as a column of a sequence
	kwServer
	kwSession
	kwSet
	kwShare
	kwShow
	kwSoft
	kwSQLCalcFoundRows
	kwSQLNoCache // and the other words that mysqldump hides in a comment after SELECT
	kwStart
	kwStatement
	kwStatus
	kwStorage
	kwSysSchema // information_schema, performance_schema, sys
	kwTable
	kwTables
	kwTemporary
	kwTo
	kwTransaction
	kwTrigger
	kwTriggers
	kwTruncate
	kwUnlock
	kwUnsafeIntroducer // _gbk and kin: a string in a set of risky bytes
	kwUpdate
	kwUse
	kwUser
	kwValue
	kwValues
	kwVariables
	kwView
	kwWarnings
	kwWith
	kwXA
	kwXML
)

// fn is what is known of a name as a function.
type fn uint8

const (
	fnNone       fn = iota
	fnKeyword       // not a function: a reserved word that a parenthesis can follow
	fnSafe          // harmless and built in on every supported version, with space before ( as well
	fnTight         // the same, but only directly before ( is it surely the built-in; with space it can be a stored function
	fnLater         // harmless where it is built in, which not all supported versions have
	fnConnection    // its answer belongs to the connection: home
	fnLock          // GET_LOCK
	fnUnlock        // RELEASE_LOCK, RELEASE_ALL_LOCKS
	fnLockState     // IS_FREE_LOCK, IS_USED_LOCK
	fnSequence      // NEXTVAL and kin
	fnServer        // its answer is each server's own, or it waits for that server
)

type word struct {
	name      string // in capitals
	hash      uint32
	kw        kw
	fn        fn
	keyword   bool // shown in capitals by digests
	serverVar bool // a system variable that each server has its own value of
}

const (
	wordSlots   = 4096
	maxWordLen  = 40
	hashBasis   = 2166136261
	hashPrime   = 16777619
	wordSlotMax = wordSlots - 1
)

// words holds all known words; index 0 stays unused. wordTable is open addressed.
var words, wordTable = buildWords()

func hashWord(s string) uint32 {
	h := uint32(hashBasis)
	for i := 0; i < len(s); i++ {
		h = (h ^ uint32(s[i])) * hashPrime
	}
	return h
}

func wordSlot(h uint32) uint32 { return (h ^ h>>15) & wordSlotMax }

// lookupWord finds the word that b spells, without regard to case; h is the
// hash of its capitals.
func lookupWord(h uint32, b []byte) *word {
	if len(b) > maxWordLen {
		return nil
	}
	for i := wordSlot(h); ; i = (i + 1) & wordSlotMax {
		x := wordTable[i]
		if x == 0 {
			return nil
		}
		if w := &words[x]; w.hash == h && equalFold(b, w.name) {
			return w
		}
	}
}

// lookupBytes finds the word that b spells.
func lookupBytes(b []byte) *word {
	h := uint32(hashBasis)
	for _, c := range b {
		h = (h ^ uint32(upperByte(c))) * hashPrime
	}
	return lookupWord(h, b)
}

func upperByte(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c &^ 0x20
	}
	return c
}

func lowerByte(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// equalFold says whether b is s, which is in capitals, but for the case of ASCII letters.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if upperByte(c) != s[i] {
			return false
		}
	}
	return true
}

func buildWords() ([]word, *[wordSlots]uint16) {
	list := make([]word, 1, 1024)
	table := new([wordSlots]uint16)
	get := func(name string) *word {
		h := hashWord(name)
		i := wordSlot(h)
		for ; table[i] != 0; i = (i + 1) & wordSlotMax {
			if w := &list[table[i]]; w.name == name {
				return w
			}
		}
		list = append(list, word{name: name, hash: h})
		table[i] = uint16(len(list) - 1)
		return &list[len(list)-1]
	}
	for k, names := range keywordNames {
		eachField(names, func(name string) {
			w := get(name)
			w.kw, w.keyword = k, true
		})
	}
	for _, names := range quietKeywords {
		get(names).keyword = false
	}
	eachField(reservedNames, func(name string) {
		w := get(name)
		w.fn, w.keyword = fnKeyword, true
		if w.kw == kwNone {
			w.kw = kwOther
		}
	})
	for f, names := range functionNames {
		eachField(names, func(name string) { get(name).fn = f })
	}
	eachField(serverVariableNames, func(name string) { get(name).serverVar = true })
	return list, table
}

// eachField calls f with each word of s, as strings.FieldsFunc would split it.
func eachField(s string, f func(string)) {
	start := -1
	for i := 0; i <= len(s); i++ {
		space := i == len(s) || s[i] == ' ' || s[i] == '\n' || s[i] == '\t'
		switch {
		case space && start >= 0:
			f(s[start:i])
			start = -1
		case !space && start < 0:
			start = i
		}
	}
}

// KnownWords returns all words that Classify knows, in capitals: keywords and
// functions. It serves checks against real servers.
func KnownWords() []string {
	out := make([]string, 0, len(words))
	for _, w := range words[1:] {
		out = append(out, w.name)
	}
	return out
}
