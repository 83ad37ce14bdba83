"""What an application does with mysqlclient (MySQLdb over MariaDB's C library).

Every line is "ok <name>: <value>". The same program runs against a server and
through Bellwether, and must print the same.
"""

import datetime
import decimal
import hashlib
import os
import subprocess
import sys
import threading

import MySQLdb
from MySQLdb.constants import CLIENT
from MySQLdb.cursors import DictCursor, SSCursor

failures = 0


def check(name, got, want):
    global failures
    if got == want:
        print(f"ok {name}: {got!r}")
    else:
        failures += 1
        print(f"FAIL {name}: got {got!r}, want {want!r}")


def settle():
    """Waits until the followers have applied what this program wrote."""
    subprocess.run([os.environ["BW_SETTLE"]], check=True)


def connect(**options):
    settings = dict(
        host=os.environ["BW_HOST"],
        port=int(os.environ["BW_PORT"]),
        user=os.environ["BW_USER"],
        password=os.environ["BW_PASSWORD"],
        database=os.environ["BW_SCHEMA"],
        charset="utf8mb4",
        autocommit=True,
    )
    settings.update(options)
    return MySQLdb.connect(**settings)


def rows(conn, sql, args=None):
    cur = conn.cursor()
    cur.execute(sql, args)
    got = cur.fetchall()
    cur.close()
    return got


def error_of(conn, sql):
    try:
        rows(conn, sql)
    except MySQLdb.MySQLError as err:
        return f"{type(err).__name__} {err.args[0]} {err.args[1]}"
    return "no error"


def types(conn):
    rows(conn, """CREATE TABLE mc_types (id INT PRIMARY KEY, big BIGINT UNSIGNED, dec_ DECIMAL(20,5),
        dbl DOUBLE, txt VARCHAR(100), raw VARBINARY(100), day DATE, at DATETIME(6), dur TIME)
        CHARACTER SET utf8mb4""")
    values = (1, 2**64 - 1, decimal.Decimal("12345.67890"), 0.1, "Grüße 🐑 '\"\\", b"\x00\xff'\\\x1a",
              datetime.date(2026, 2, 28), datetime.datetime(2026, 2, 28, 23, 59, 59, 123456),
              datetime.timedelta(hours=25, minutes=1))
    rows(conn, "INSERT INTO mc_types VALUES (%s,%s,%s,%s,%s,%s,%s,%s,%s)", values)
    rows(conn, "INSERT INTO mc_types (id) VALUES (2)")
    settle()
    got = rows(conn, "SELECT * FROM mc_types ORDER BY id")
    check("types", got[0], values)
    check("types null", got[1], (2,) + (None,) * 8)
    check("types where", rows(conn, "SELECT id FROM mc_types WHERE txt = %s", (values[4],)), ((1,),))
    cur = conn.cursor()
    cur.execute("SELECT id, big, txt AS words FROM mc_types WHERE id = 1")
    check("description", [(d[0], d[1], d[6]) for d in cur.description],
          [("id", 3, 0), ("big", 8, 1), ("words", 253, 1)])
    cur.close()


def transactions(conn):
    rows(conn, "CREATE TABLE mc_tx (id INT PRIMARY KEY) ENGINE=InnoDB")

    def ids():
        settle()
        return [r[0] for r in rows(conn, "SELECT id FROM mc_tx ORDER BY id")]

    conn.autocommit(False)
    rows(conn, "INSERT INTO mc_tx VALUES (1)")
    check("tx own write", rows(conn, "SELECT COUNT(*) FROM mc_tx"), ((1,),))
    conn.commit()
    rows(conn, "INSERT INTO mc_tx VALUES (2)")
    conn.rollback()
    rows(conn, "INSERT INTO mc_tx VALUES (3)")
    rows(conn, "SAVEPOINT a")
    rows(conn, "INSERT INTO mc_tx VALUES (4)")
    rows(conn, "ROLLBACK TO SAVEPOINT a")
    conn.commit()
    check("autocommit off status", conn.get_autocommit(), False)
    conn.autocommit(True)
    check("tx commit, rollback, savepoint", ids(), [1, 3])
    conn.begin()
    rows(conn, "INSERT INTO mc_tx VALUES (5)")
    rows(conn, "CREATE TABLE mc_implicit (id INT)")
    conn.rollback()
    check("tx implicit commit", ids(), [1, 3, 5])
    rows(conn, "START TRANSACTION READ ONLY")
    check("read only tx", rows(conn, "SELECT COUNT(*) FROM mc_tx"), ((3,),))
    check("read only tx refuses", error_of(conn, "INSERT INTO mc_tx VALUES (6)").rstrip("."),
          "OperationalError 1792 Cannot execute statement in a READ ONLY transaction")
    conn.rollback()


def multi_results():
    conn = connect(client_flag=CLIENT.MULTI_STATEMENTS)
    rows(conn, """CREATE PROCEDURE mc_two(IN n INT, OUT twice INT) BEGIN SELECT n AS a;
        SELECT n + 1 AS b UNION SELECT n + 2; SET twice = n * 2; END""")
    cur = conn.cursor()

    def results():
        got = [cur.fetchall()]
        while cur.nextset():
            got.append(cur.fetchall())
        return got

    cur.callproc("mc_two", (5, 0))
    check("call", results(), [((5,),), ((6,), (7,)), ()])
    cur.execute("SELECT @_mc_two_1")
    check("call out", cur.fetchall(), ((10,),))
    cur.execute("SELECT 1; SET @x = 7; SELECT @x, 'two'")
    check("multi statements", results(), [((1,),), (), ((7, "two"),)])
    cur.execute("SELECT 1; SELECT * FROM mc_absent; SELECT 3")
    try:
        cur.nextset()
        check("multi error", "no error", "an error")
    except MySQLdb.MySQLError as err:
        check("multi error", err.args[0], 1146)
    cur.close()
    check("usable after multi error", rows(conn, "SELECT 4"), ((4,),))
    conn.close()


def large(conn, name):
    value = bytes(i * 7 % 256 for i in range(1 << 10)) * (17 << 10)  # 17 MiB, more than one packet holds
    rows(conn, "DROP TABLE IF EXISTS mc_large")
    rows(conn, "CREATE TABLE mc_large (id INT PRIMARY KEY, v LONGBLOB)")
    rows(conn, "INSERT INTO mc_large VALUES (1, %s), (2, 'small')", (value,))
    settle()
    got = rows(conn, "SELECT v FROM mc_large ORDER BY id")
    check(f"large {name}", (len(got[0][0]), hashlib.sha256(got[0][0]).digest() == hashlib.sha256(value).digest()),
          (17 << 20, True))
    check(f"large {name} next row", got[1], (b"small",))


def errors(conn):
    rows(conn, "CREATE TABLE mc_err (id INT PRIMARY KEY, n INT NOT NULL)")
    rows(conn, "INSERT INTO mc_err VALUES (1, 1)")
    settle()
    check("error duplicate", error_of(conn, "INSERT INTO mc_err VALUES (1, 2)").split()[:2], ["IntegrityError", "1062"])
    check("error syntax", error_of(conn, "SELEC 1").split()[:2], ["ProgrammingError", "1064"])
    check("error table", error_of(conn, "SELECT * FROM mc_absent"),
          "ProgrammingError 1146 Table '%s.mc_absent' doesn't exist" % os.environ["BW_SCHEMA"])
    check("error null", error_of(conn, "INSERT INTO mc_err VALUES (2, NULL)").split()[1], "1048")
    check("error signal", error_of(conn, "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'own words', MYSQL_ERRNO = 31001"),
          "OperationalError 31001 own words")
    check("usable after errors", rows(conn, "SELECT n FROM mc_err"), ((1,),))
    rows(conn, "SELECT CAST('12x' AS SIGNED), n FROM mc_err")
    check("warning count", conn.warning_count(), 1)
    check("warnings", conn.show_warnings(), (("Warning", 1292, "Truncated incorrect INTEGER value: '12x'"),))


def character_sets(conn):
    check("emoji", rows(conn, "SELECT %s, HEX(%s)", ("🐑", "🐑")), (("🐑", "F09F9091"),))
    for charset, text, code in (("latin1", "é", "E9"), ("gbk", "誠", "D55C"), ("gbk", "縗", "BF5C"), ("sjis", "表", "955C")):
        other = connect(charset=charset)
        check(f"charset {charset} {code}", rows(other, f"SELECT HEX('{text}'), '{text}'"), ((code, text),))
        check(f"charset {charset} {code} escaped", rows(other, "SELECT HEX(%s)", (text + "'",)), ((code + "27",),))
        other.close()
    conn.set_character_set("latin1")
    check("set_character_set", rows(conn, "SELECT @@character_set_client, @@character_set_results"), (("latin1", "latin1"),))
    conn.set_character_set("utf8mb4")


def ids_and_counts(conn):
    rows(conn, "CREATE TABLE mc_ids (id INT AUTO_INCREMENT PRIMARY KEY, n INT)")
    cur = conn.cursor()
    cur.execute("INSERT INTO mc_ids (n) VALUES (1), (2), (3)")
    check("insert", (cur.rowcount, cur.lastrowid, conn.insert_id()), (3, 1, 1))
    check("info", conn.info(), "Records: 3  Duplicates: 0  Warnings: 0")
    check("last_insert_id", rows(conn, "SELECT LAST_INSERT_ID()"), ((1,),))
    cur.execute("UPDATE mc_ids SET n = 2 WHERE id <= 2")
    check("changed rows", (cur.rowcount, conn.info()), (1, "Rows matched: 2  Changed: 1  Warnings: 0"))
    found = connect(client_flag=CLIENT.FOUND_ROWS)
    other = found.cursor()
    other.execute("UPDATE mc_ids SET n = 2 WHERE id <= 2")
    check("found rows flag", (other.rowcount, found.info()), (2, "Rows matched: 2  Changed: 0  Warnings: 0"))
    found.close()
    cur.executemany("INSERT INTO mc_ids (n) VALUES (%s)", [(i,) for i in range(100)])
    check("executemany", cur.rowcount, 100)
    cur.close()


def load_local(conn):
    path = os.path.join(os.environ["BW_DIR"], "mc_load.csv")
    with open(path, "w", encoding="utf-8") as out:
        out.writelines(f"{i},line {i} ü\n" for i in range(20000))
    local = connect(local_infile=1)
    rows(local, "CREATE TABLE mc_load (id INT PRIMARY KEY, v VARCHAR(40)) CHARACTER SET utf8mb4")
    cur = local.cursor()
    cur.execute("LOAD DATA LOCAL INFILE '%s' INTO TABLE mc_load FIELDS TERMINATED BY ','" % path)
    check("load local", (cur.rowcount, local.info()), (20000, "Records: 20000  Deleted: 0  Skipped: 0  Warnings: 0"))
    cur.close()
    settle()
    check("load local rows", rows(conn, "SELECT COUNT(*), MAX(v) FROM mc_load"), ((20000, "line 9999 ü"),))
    missing = error_of(local, "LOAD DATA LOCAL INFILE '/nonexistent/file' INTO TABLE mc_load")
    check("load local missing file", missing != "no error", True)
    check("usable after load local", rows(local, "SELECT 5"), ((5,),))
    local.close()


def unbuffered(conn):
    cur = conn.cursor(SSCursor)
    cur.execute("SELECT id FROM mc_load ORDER BY id")
    check("unbuffered first", cur.fetchmany(3), ((0,), (1,), (2,)))
    check("unbuffered rest", sum(1 for _ in cur), 19997)
    cur.close()
    cur = conn.cursor(DictCursor)
    cur.execute("SELECT id, v FROM mc_load WHERE id = 5")
    check("dict cursor", cur.fetchone(), {"id": 5, "v": "line 5 ü"})
    cur.close()


def session_commands(conn):
    conn.ping()
    check("thread id", rows(conn, "SELECT CONNECTION_ID()")[0][0] == conn.thread_id(), True)
    check("stat", conn.stat().split()[0], "Uptime:")
    conn.select_db("information_schema")
    check("select_db", rows(conn, "SELECT DATABASE()"), (("information_schema",),))
    conn.select_db(os.environ["BW_SCHEMA"])
    check("select_db back", rows(conn, "SELECT COUNT(*) FROM mc_load"), ((20000,),))
    rows(conn, "SET @before = 1, SESSION group_concat_max_len = 7")
    conn.change_user(os.environ["BW_OTHER_USER"], os.environ["BW_OTHER_PASSWORD"], os.environ["BW_SCHEMA"])
    check("change_user", rows(conn, "SELECT CURRENT_USER(), @before, @@group_concat_max_len > 7"),
          ((os.environ["BW_OTHER_USER"] + "@%", None, 1),))
    check("change_user read", rows(conn, "SELECT COUNT(*) FROM mc_load"), ((20000,),))
    check("change_user rights", error_of(conn, "SELECT * FROM mysql.user").split()[1] in ("1142", "1044"), True)
    try:
        conn.change_user(os.environ["BW_OTHER_USER"], "wrong")
        check("change_user refused", "no error", "an error")
    except MySQLdb.MySQLError as err:
        check("change_user refused", err.args[0], 1045)


def kills():
    victim, killer = connect(), connect()
    rows(killer, "CREATE TABLE mc_n (n INT)")
    rows(killer, "INSERT INTO mc_n VALUES " + ",".join(f"({i})" for i in range(2000)))
    settle()
    done, seen, victim_id = threading.Event(), [], victim.thread_id()

    def run():
        seen.append(error_of(victim, "SELECT SUM(a.n * b.n % 7 + c.n) FROM mc_n a, mc_n b, mc_n c"))
        done.set()

    # The KILL is repeated, because nobody knows when the query begins.
    worker = threading.Thread(target=run)
    worker.start()
    while not done.wait(0.1):
        rows(killer, f"KILL QUERY {victim_id}")
    worker.join()
    check("kill query", seen, ["OperationalError 1317 Query execution was interrupted"])
    check("killed session lives", rows(victim, "SELECT 1"), ((1,),))
    killer.kill(victim_id)  # COM_PROCESS_KILL
    lost = "no error"
    try:
        for _ in range(100):
            rows(victim, "SELECT 1")
            done.wait(0.05)
    except MySQLdb.MySQLError:
        lost = "lost"
    check("kill connection", lost, "lost")
    try:
        killer.kill(4000000000)
        check("kill unknown", "no error", "an error")
    except MySQLdb.MySQLError as err:
        check("kill unknown", err.args[0], 1094)
    killer.close()


def options():
    squeezed = connect(compress=1)
    check("compress read", rows(squeezed, "SELECT COUNT(*), MAX(v) FROM mc_load"), ((20000, "line 9999 ü"),))
    large(squeezed, "compressed")
    squeezed.close()
    encrypted = connect(ssl={"ca": os.environ["BW_CA"]}, compress=1)
    check("tls read", rows(encrypted, "SELECT COUNT(*) FROM mc_load"), ((20000,),))
    large(encrypted, "tls compressed")
    encrypted.close()
    started = connect(init_command="SET @started = 'yes'")
    check("init command", rows(started, "SELECT @started"), (("yes",),))
    started.close()
    for name, changed, code in (("password", {"password": "wrong"}, 1045), ("user", {"user": "mc_nobody"}, 1045),
                                ("schema", {"database": "mc_absent_schema"}, 1049)):
        try:
            connect(**changed)
            check(f"refused {name}", "no error", "an error")
        except MySQLdb.MySQLError as err:
            check(f"refused {name}", err.args[0], code)


def main():
    conn = connect()
    types(conn)
    transactions(conn)
    multi_results()
    large(conn, "plain")
    errors(conn)
    character_sets(conn)
    ids_and_counts(conn)
    load_local(conn)
    unbuffered(conn)
    session_commands(conn)
    kills()
    options()
    sys.exit(1 if failures else 0)


main()
