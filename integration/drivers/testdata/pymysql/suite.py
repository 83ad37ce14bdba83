"""What an application does with PyMySQL, as checks that print what they saw.

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

import pymysql
from pymysql.constants import CLIENT

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
        max_allowed_packet=64 << 20,
    )
    settings.update(options)
    return pymysql.connect(**settings)


def rows(conn, sql, args=None):
    with conn.cursor() as cur:
        cur.execute(sql, args)
        return cur.fetchall()


def error_of(conn, sql):
    try:
        rows(conn, sql)
    except pymysql.MySQLError as err:
        return f"{type(err).__name__} {err.args[0]} {err.args[1]}"
    return "no error"


def types(conn):
    rows(conn, """CREATE TABLE py_types (id INT PRIMARY KEY, big BIGINT UNSIGNED, dec_ DECIMAL(20,5),
        dbl DOUBLE, txt VARCHAR(100), raw VARBINARY(100), day DATE, at DATETIME(6), dur TIME, bits BIT(9),
        pick ENUM('a','b'), doc JSON) CHARACTER SET utf8mb4""")
    values = (1, 2**64 - 1, decimal.Decimal("12345.67890"), 0.1, "Grüße 🐑 '\"\\", b"\x00\xff'\\\x1a",
              datetime.date(2026, 2, 28), datetime.datetime(2026, 2, 28, 23, 59, 59, 123456),
              datetime.timedelta(hours=-25), b"\x01\x81", "b", '{"k": [1, null]}')
    rows(conn, "INSERT INTO py_types VALUES (%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s)", values)
    rows(conn, "INSERT INTO py_types (id) VALUES (%s)", (2,))
    settle()
    got = rows(conn, "SELECT * FROM py_types ORDER BY id")
    check("types", got[0], values)
    check("types null", got[1], (2,) + (None,) * 11)
    check("types where", rows(conn, "SELECT id FROM py_types WHERE txt = %s", (values[4],)), ((1,),))


def statement_prepare(conn):
    """PREPARE in SQL: PyMySQL has no binary protocol."""
    rows(conn, "PREPARE s FROM 'SELECT ? + ?'")
    rows(conn, "SET @a = 40, @b = 2")
    check("sql prepare", rows(conn, "EXECUTE s USING @a, @b"), ((42,),))
    check("user variable", rows(conn, "SELECT @a + 1"), ((41,),))
    rows(conn, "DEALLOCATE PREPARE s")
    check("sql prepare gone", error_of(conn, "EXECUTE s").split()[:2], ["OperationalError", "1243"])


def transactions(conn):
    rows(conn, "CREATE TABLE py_tx (id INT PRIMARY KEY) ENGINE=InnoDB")

    def ids():
        settle()
        return [r[0] for r in rows(conn, "SELECT id FROM py_tx ORDER BY id")]

    conn.begin()
    rows(conn, "INSERT INTO py_tx VALUES (1)")
    check("tx own write", rows(conn, "SELECT COUNT(*) FROM py_tx"), ((1,),))
    conn.commit()
    check("tx commit", ids(), [1])
    conn.begin()
    rows(conn, "INSERT INTO py_tx VALUES (2)")
    conn.rollback()
    check("tx rollback", ids(), [1])
    conn.begin()
    rows(conn, "INSERT INTO py_tx VALUES (3)")
    rows(conn, "SAVEPOINT a")
    rows(conn, "INSERT INTO py_tx VALUES (4)")
    rows(conn, "ROLLBACK TO SAVEPOINT a")
    conn.commit()
    check("tx savepoint", ids(), [1, 3])
    conn.autocommit(False)
    rows(conn, "INSERT INTO py_tx VALUES (5)")
    check("autocommit off own write", rows(conn, "SELECT COUNT(*) FROM py_tx"), ((3,),))
    check("autocommit off status", conn.get_autocommit(), False)
    conn.rollback()
    conn.autocommit(True)
    check("autocommit rollback", ids(), [1, 3])


def multi_results():
    conn = connect(client_flag=CLIENT.MULTI_STATEMENTS)
    rows(conn, """CREATE PROCEDURE py_two(IN n INT, OUT twice INT) BEGIN SELECT n AS a;
        SELECT n + 1 AS b UNION SELECT n + 2; SET twice = n * 2; END""")
    cur = conn.cursor()
    cur.callproc("py_two", (5, 0))
    got = [cur.fetchall()]
    while cur.nextset():
        got.append(cur.fetchall())
    check("call", got, [((5,),), ((6,), (7,)), ()])
    cur.execute("SELECT @_py_two_1")
    check("call out", cur.fetchall(), ((10,),))
    cur.execute("SELECT 1; SET @x = 7; SELECT @x, 'two'; DO 0")
    got = [cur.fetchall()]
    while cur.nextset():
        got.append(cur.fetchall())
    check("multi statements", got, [((1,),), (), ((7, "two"),), ()])
    cur.execute("SELECT 1; SELECT * FROM py_absent; SELECT 3")
    try:
        cur.nextset()
        check("multi error", "no error", "an error")
    except pymysql.MySQLError as err:
        check("multi error", err.args[0], 1146)
    check("usable after multi error", rows(conn, "SELECT 4"), ((4,),))
    conn.close()


def large(conn):
    value = bytes(i * 7 % 256 for i in range(1 << 10)) * (17 << 10)  # 17 MiB, more than one packet holds
    rows(conn, "CREATE TABLE py_large (id INT PRIMARY KEY, v LONGBLOB)")
    rows(conn, "INSERT INTO py_large VALUES (1, _binary %s), (2, 'small')", (value,))
    settle()
    got = rows(conn, "SELECT v FROM py_large ORDER BY id")
    check("large length", len(got[0][0]), 17 << 20)
    check("large digest", hashlib.sha256(got[0][0]).digest() == hashlib.sha256(value).digest(), True)
    check("large next row", got[1], (b"small",))
    check("large server side", rows(conn, "SELECT SHA2(v, 256) FROM py_large WHERE id = 1"),
          ((hashlib.sha256(value).hexdigest(),),))


def errors(conn):
    rows(conn, "CREATE TABLE py_err (id INT PRIMARY KEY, n INT NOT NULL)")
    rows(conn, "INSERT INTO py_err VALUES (1, 1)")
    settle()
    check("error duplicate", error_of(conn, "INSERT INTO py_err VALUES (1, 2)"),
          "IntegrityError 1062 Duplicate entry '1' for key '%s'"
          % ("py_err.PRIMARY" if os.environ["BW_FLAVOR"] == "mysql" else "PRIMARY"))
    check("error syntax", error_of(conn, "SELEC 1").split()[:2], ["ProgrammingError", "1064"])
    check("error table", error_of(conn, "SELECT * FROM py_absent"),
          "ProgrammingError 1146 Table '%s.py_absent' doesn't exist" % os.environ["BW_SCHEMA"])
    check("error null", error_of(conn, "INSERT INTO py_err VALUES (2, NULL)"),
          "IntegrityError 1048 Column 'n' cannot be null")
    check("error column", error_of(conn, "SELECT nope FROM py_err").split()[:2], ["OperationalError", "1054"])
    check("error signal", error_of(conn, "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'own words', MYSQL_ERRNO = 31001"),
          "OperationalError 31001 own words")
    check("usable after errors", rows(conn, "SELECT n FROM py_err"), ((1,),))


def character_sets(conn):
    check("emoji", rows(conn, "SELECT %s, HEX(%s)", ("🐑", "🐑")), (("🐑", "F09F9091"),))
    latin = connect(charset="latin1")
    check("latin1", rows(latin, "SELECT 'é', HEX('é')"), (("é", "E9"),))
    latin.close()
    gbk = connect(charset="gbk", use_unicode=True)
    # The second byte of this character is a backslash in ASCII.
    check("gbk", rows(gbk, "SELECT HEX('誠'), '誠'"), (("D55C", "誠"),))
    check("gbk quote", rows(gbk, "SELECT HEX('縗'), '縗'"), (("BF5C", "縗"),))
    gbk.close()
    sjis = connect(charset="cp932")
    check("sjis", rows(sjis, "SELECT HEX('表'), '表'"), (("955C", "表"),))
    sjis.close()
    rows(conn, "SET NAMES latin1")
    check("set names", rows(conn, "SELECT @@character_set_client, @@character_set_results"), (("latin1", "latin1"),))
    rows(conn, "SET NAMES utf8mb4")


def ids_and_counts(conn):
    rows(conn, "CREATE TABLE py_ids (id INT AUTO_INCREMENT PRIMARY KEY, n INT)")
    with conn.cursor() as cur:
        cur.execute("INSERT INTO py_ids (n) VALUES (1), (2), (3)")
        check("insert", (cur.rowcount, cur.lastrowid), (3, 1))
        check("last_insert_id", rows(conn, "SELECT LAST_INSERT_ID()"), ((1,),))
        cur.execute("UPDATE py_ids SET n = 2 WHERE id <= 2")
        check("changed rows", cur.rowcount, 1)
        cur.executemany("INSERT INTO py_ids (n) VALUES (%s)", [(i,) for i in range(100)])
        check("executemany", cur.rowcount, 100)
        settle()
        cur.execute("SELECT SQL_CALC_FOUND_ROWS id FROM py_ids LIMIT 2")
        check("calc found rows", (cur.fetchall(), rows(conn, "SELECT FOUND_ROWS()")), (((1,), (2,)), ((103,),)))
        rows(conn, "INSERT INTO py_ids (n) VALUES (7),(8)")
        check("row_count", rows(conn, "SELECT ROW_COUNT()"), ((2,),))
    found = connect(client_flag=CLIENT.FOUND_ROWS)
    with found.cursor() as cur:
        cur.execute("UPDATE py_ids SET n = 2 WHERE id <= 2")
        check("found rows flag", cur.rowcount, 2)
    found.close()


def load_local():
    path = os.path.join(os.environ["BW_DIR"], "py_load.csv")
    with open(path, "w", encoding="utf-8") as out:
        out.writelines(f"{i},line {i} ü\n" for i in range(20000))
    conn = connect(local_infile=True)
    rows(conn, "CREATE TABLE py_load (id INT PRIMARY KEY, v VARCHAR(40)) CHARACTER SET utf8mb4")
    with conn.cursor() as cur:
        cur.execute("LOAD DATA LOCAL INFILE '%s' INTO TABLE py_load FIELDS TERMINATED BY ','" % path)
        check("load local", cur.rowcount, 20000)
    settle()
    check("load local rows", rows(conn, "SELECT COUNT(*), MAX(v) FROM py_load"), ((20000, "line 9999 ü"),))
    try:
        rows(conn, "LOAD DATA LOCAL INFILE '/nonexistent/file' INTO TABLE py_load")
        check("load local missing file", "no error", "an error")
    except pymysql.MySQLError as err:
        check("load local missing file", err.args[0], 1017)
    conn.close()
    conn = connect()
    check("load local not offered", error_of(conn, "LOAD DATA LOCAL INFILE '%s' INTO TABLE py_load" % path) != "no error", True)
    conn.close()


def unbuffered(conn):
    cur = conn.cursor(pymysql.cursors.SSCursor)
    cur.execute("SELECT id FROM py_load ORDER BY id")
    check("unbuffered first", [cur.fetchone() for _ in range(3)], [(0,), (1,), (2,)])
    check("unbuffered rest", sum(1 for _ in cur), 19997)
    cur.close()
    cur = conn.cursor(pymysql.cursors.DictCursor)
    cur.execute("SELECT id, v FROM py_load WHERE id = 5")
    check("dict cursor", cur.fetchone(), {"id": 5, "v": "line 5 ü"})
    cur.close()


def session_commands(conn):
    conn.ping(reconnect=False)
    check("ping", conn.open, True)
    check("thread id", rows(conn, "SELECT CONNECTION_ID()")[0][0] == conn.thread_id(), True)
    conn.select_db("information_schema")
    check("select_db", rows(conn, "SELECT DATABASE()"), (("information_schema",),))
    conn.select_db(os.environ["BW_SCHEMA"])
    check("select_db back", rows(conn, "SELECT COUNT(*) FROM py_load"), ((20000,),))
    rows(conn, "SET SESSION group_concat_max_len = 7, sql_mode = 'ANSI_QUOTES'")
    check("session variable", rows(conn, "SELECT @@group_concat_max_len"), ((7,),))
    check("session variable in a read", rows(conn, "SELECT GROUP_CONCAT(v ORDER BY id) FROM py_load WHERE id < 9"),
          (("line 0 ",),))
    check("ansi quotes in a read", rows(conn, 'SELECT "id" FROM py_load WHERE id = 3'), ((3,),))
    rows(conn, "SET SESSION group_concat_max_len = DEFAULT, sql_mode = DEFAULT, time_zone = '+05:00'")
    check("time zone in a read", rows(conn, "SELECT FROM_UNIXTIME(0), MAX(id) FROM py_load"),
          ((datetime.datetime(1970, 1, 1, 5, 0), 19999),))
    rows(conn, "SET SESSION time_zone = DEFAULT")
    rows(conn, "CREATE TEMPORARY TABLE py_temp (id INT)")
    rows(conn, "INSERT INTO py_temp VALUES (1), (2)")
    check("temporary table", rows(conn, "SELECT COUNT(*) FROM py_temp"), ((2,),))
    check("get lock", rows(conn, "SELECT GET_LOCK('py_lock', 5)"), ((1,),))
    check("lock held", rows(conn, "SELECT IS_USED_LOCK('py_lock') = CONNECTION_ID(), RELEASE_LOCK('py_lock')")[0][1], 1)
    rows(conn, "SELECT CAST('12x' AS SIGNED)")
    with conn.cursor() as cur:
        cur.execute("SELECT CAST('12x' AS SIGNED), id FROM py_load WHERE id = 1")
        check("warnings", rows(conn, "SHOW WARNINGS"), (("Warning", 1292, "Truncated incorrect INTEGER value: '12x'"),))


def kills():
    victim, killer = connect(), connect()
    rows(killer, "CREATE TABLE py_n (n INT)")
    rows(killer, "INSERT INTO py_n VALUES " + ",".join(f"({i})" for i in range(2000)))
    settle()
    done, seen = threading.Event(), []

    def run():
        seen.append(error_of(victim, "SELECT SUM(a.n * b.n % 7 + c.n) FROM py_n a, py_n b, py_n c"))
        done.set()

    # The KILL is repeated, because nobody knows when the query begins.
    worker = threading.Thread(target=run)
    worker.start()
    while not done.wait(0.1):
        rows(killer, f"KILL QUERY {victim.thread_id()}")
    worker.join()
    check("kill query", seen, ["OperationalError 1317 Query execution was interrupted"])
    check("killed session lives", rows(victim, "SELECT 1"), ((1,),))
    rows(killer, f"KILL {victim.thread_id()}")
    lost = "no error"
    try:
        for _ in range(100):
            victim.ping(reconnect=False)
            done.wait(0.05)
    except (pymysql.MySQLError, OSError):
        lost = "lost"
    check("kill connection", lost, "lost")
    check("kill unknown", error_of(killer, "KILL QUERY 4000000000").split()[:2], ["OperationalError", "1094"])
    killer.close()


def deadlock():
    one, two = connect(), connect()
    rows(one, "CREATE TABLE py_dead (id INT PRIMARY KEY, n INT)")
    rows(one, "INSERT INTO py_dead VALUES (1, 0), (2, 0)")
    settle()
    one.begin()
    two.begin()
    rows(one, "UPDATE py_dead SET n = 1 WHERE id = 1")
    rows(two, "UPDATE py_dead SET n = 2 WHERE id = 2")
    result = []
    worker = threading.Thread(target=lambda: result.append(error_of(one, "UPDATE py_dead SET n = 1 WHERE id = 2")))
    worker.start()
    result.append(error_of(two, "UPDATE py_dead SET n = 2 WHERE id = 1"))
    worker.join()
    check("deadlock", sorted(result),
          ["OperationalError 1213 Deadlock found when trying to get lock; try restarting transaction", "no error"])
    one.rollback()
    two.rollback()
    check("after deadlock", rows(one, "SELECT COUNT(*) FROM py_dead WHERE n = 0"), ((2,),))
    one.close()
    two.close()


def access():
    for name, options in (("password", {"password": "wrong"}), ("user", {"user": "py_nobody"})):
        try:
            connect(**options)
            check(f"refused {name}", "no error", "an error")
        except pymysql.MySQLError as err:
            check(f"refused {name}", err.args[0], 1045)
    try:
        connect(database="py_absent_schema")
        check("refused schema", "no error", "an error")
    except pymysql.MySQLError as err:
        check("refused schema", err.args[0], 1049)
    encrypted = connect(ssl={"ca": os.environ["BW_CA"], "check_hostname": False})
    check("tls", type(encrypted._sock).__name__, "SSLSocket")
    check("tls read", rows(encrypted, "SELECT COUNT(*) FROM py_load"), ((20000,),))
    encrypted.close()


def main():
    conn = connect()
    types(conn)
    statement_prepare(conn)
    transactions(conn)
    multi_results()
    large(conn)
    errors(conn)
    character_sets(conn)
    ids_and_counts(conn)
    load_local()
    unbuffered(conn)
    session_commands(conn)
    kills()
    deadlock()
    access()
    conn.close()
    sys.exit(1 if failures else 0)


main()
