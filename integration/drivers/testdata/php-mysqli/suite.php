<?php
// What an application does with PHP's mysqli (mysqlnd), as checks that print
// what they saw. Every line is "ok <name>: <value>". The same program runs
// against a server and through Bellwether, and must print the same.

mysqli_report(MYSQLI_REPORT_OFF);

$failures = 0;

function check(string $name, $got, $want): void
{
    global $failures;
    $shown = json_encode($got, JSON_UNESCAPED_UNICODE | JSON_PRESERVE_ZERO_FRACTION);
    if ($got === $want) {
        echo "ok $name: $shown\n";
        return;
    }
    $failures++;
    echo "FAIL $name: got $shown, want ", json_encode($want, JSON_UNESCAPED_UNICODE), "\n";
}

/** Waits until the followers have applied what this program wrote. */
function settle(): void
{
    exec(escapeshellarg(getenv('BW_SETTLE')), $out, $status);
    if ($status !== 0) {
        throw new RuntimeException('settle: ' . implode("\n", $out));
    }
}

function connect(int $flags = 0, array $options = []): mysqli
{
    $db = mysqli_init();
    foreach ($options as $option => $value) {
        $db->options($option, $value);
    }
    if ($flags & MYSQLI_CLIENT_SSL) {
        $db->ssl_set(null, null, getenv('BW_CA'), null, null);
    }
    if (!$db->real_connect(getenv('BW_HOST'), getenv('BW_USER'), getenv('BW_PASSWORD'), getenv('BW_SCHEMA'),
        (int)getenv('BW_PORT'), null, $flags)) {
        throw new RuntimeException('connect: ' . mysqli_connect_error());
    }
    $db->set_charset('utf8mb4');
    return $db;
}

function rows(mysqli $db, string $sql): array
{
    $result = $db->query($sql);
    if ($result === false) {
        throw new RuntimeException("$sql: $db->error");
    }
    return $result === true ? [] : $result->fetch_all();
}

function errorOf(mysqli $db, string $sql): string
{
    return $db->query($sql) === false ? "$db->errno $db->sqlstate $db->error" : 'no error';
}

function types(mysqli $db): void
{
    rows($db, "CREATE TABLE my_types (id INT PRIMARY KEY, big BIGINT, dec_ DECIMAL(20,5), dbl DOUBLE,
        txt VARCHAR(100), raw VARBINARY(100), day DATE, at DATETIME(6), dur TIME, bits BIT(9)) CHARACTER SET utf8mb4");
    $values = [1, PHP_INT_MAX, '12345.67890', 0.5, "Grüße 🐑 '\"\\", "a\0b'\\", '2026-02-28', '2026-02-28 23:59:59.123456', '-25:01:00', 257];
    $insert = $db->prepare('INSERT INTO my_types VALUES (?,?,?,?,?,?,?,?,?,?)');
    $insert->bind_param('iisdsssssi', ...$values);
    check('prepared insert', [$insert->execute(), $insert->affected_rows, $insert->param_count], [true, 1, 10]);
    check('prepared insert of nulls', [$insert->execute([2, ...array_fill(0, 9, null)]), $insert->affected_rows], [true, 1]);
    $insert->close();
    settle();
    $want = [1, PHP_INT_MAX, '12345.67890', 0.5, "Grüße 🐑 '\"\\", "a\0b'\\", '2026-02-28', '2026-02-28 23:59:59.123456', '-25:01:00', 257];
    $select = $db->prepare('SELECT * FROM my_types WHERE id >= ? ORDER BY id');
    $from = 1;
    $select->bind_param('i', $from);
    $select->execute();
    check('prepared types', $select->get_result()->fetch_all(), [$want, [2, ...array_fill(0, 9, null)]]);
    $from = 2;
    $select->execute();
    check('prepared again', $select->get_result()->fetch_all(), [[2, ...array_fill(0, 9, null)]]);
    $word = '1';
    $select->bind_param('s', $word); // re-bound with another type
    $select->execute();
    check('prepared with another type', $select->get_result()->num_rows, 2);
    $select->execute();
    $select->store_result();
    check('stmt reset', [$select->num_rows, $select->reset(), $select->execute(), $select->get_result()->num_rows], [2, true, true, 2]);
    $select->close();
    check('text types', rows($db, 'SELECT id, big, dec_, dbl, txt, raw, day, at, dur, bits FROM my_types WHERE id = 1'),
        [['1', (string)PHP_INT_MAX, '12345.67890', '0.5', "Grüße 🐑 '\"\\", "a\0b'\\", '2026-02-28', '2026-02-28 23:59:59.123456', '-25:01:00', '257']]);
    $fields = array_map(fn($f) => [$f->name, $f->orgname, $f->table, $f->type, $f->length], $db->query('SELECT id AS n, txt FROM my_types t')->fetch_fields());
    check('fields', $fields, [['n', 'id', 't', 3, 11], ['txt', 'txt', 't', 253, 400]]);
}

function cursors(mysqli $db): void
{
    rows($db, 'CREATE TABLE my_seq (n INT PRIMARY KEY)');
    rows($db, 'INSERT INTO my_seq VALUES (' . implode('),(', range(1, 2000)) . ')');
    settle();
    $cursor = $db->prepare('SELECT n FROM my_seq WHERE n > ? ORDER BY n');
    $cursor->attr_set(MYSQLI_STMT_ATTR_CURSOR_TYPE, MYSQLI_CURSOR_TYPE_READ_ONLY);
    $cursor->attr_set(MYSQLI_STMT_ATTR_PREFETCH_ROWS, 1);
    $from = 10;
    $cursor->bind_param('i', $from);
    $cursor->execute();
    $cursor->bind_result($n);
    $seen = 0;
    $sum = 0;
    while ($cursor->fetch()) {
        $seen++;
        $sum += $n;
        if ($seen === 5) { // another statement while the cursor is open
            check('beside a cursor', rows($db, 'SELECT COUNT(*) FROM my_seq'), [['2000']]);
        }
    }
    check('cursor', [$seen, $sum], [1990, 2000945]);
    $cursor->execute();
    $cursor->fetch();
    check('cursor left open', [$n, $cursor->free_result(), $cursor->close()], [11, null, true]);
    check('after a cursor', rows($db, 'SELECT MAX(n) FROM my_seq'), [['2000']]);
    $plain = $db->query('SELECT n FROM my_seq ORDER BY n', MYSQLI_USE_RESULT);
    check('unbuffered', [$plain->fetch_row(), count($plain->fetch_all())], [['1'], 1999]);
    $plain->free();
}

function transactions(mysqli $db): void
{
    rows($db, 'CREATE TABLE my_tx (id INT PRIMARY KEY) ENGINE=InnoDB');
    $db->begin_transaction();
    rows($db, 'INSERT INTO my_tx VALUES (1)');
    $own = $db->prepare('SELECT COUNT(*) FROM my_tx');
    $own->execute();
    check('tx own write, prepared', $own->get_result()->fetch_all(), [[1]]);
    $db->commit();
    $db->begin_transaction();
    rows($db, 'INSERT INTO my_tx VALUES (2)');
    $db->rollback();
    $db->autocommit(false);
    rows($db, 'INSERT INTO my_tx VALUES (3)');
    $db->savepoint('a');
    rows($db, 'INSERT INTO my_tx VALUES (4)');
    check('release of unknown savepoint', $db->release_savepoint('b'), false);
    rows($db, 'ROLLBACK TO a');
    check('autocommit off own write', rows($db, 'SELECT id FROM my_tx ORDER BY id'), [['1'], ['3']]);
    $db->commit();
    $db->autocommit(true);
    settle();
    check('tx result', rows($db, 'SELECT id FROM my_tx ORDER BY id'), [['1'], ['3']]);
    $db->begin_transaction(MYSQLI_TRANS_START_READ_ONLY);
    check('read only tx', [rows($db, 'SELECT COUNT(*) FROM my_tx'), rtrim(errorOf($db, 'DELETE FROM my_tx'), '.')],
        [[['2']], '1792 25006 Cannot execute statement in a READ ONLY transaction']);
    $db->rollback();
}

function results(mysqli $db): array
{
    $got = [];
    do {
        $result = $db->store_result();
        $got[] = $result ? $result->fetch_all() : $db->affected_rows;
    } while ($db->more_results() && $db->next_result());
    return $got;
}

function multiResults(mysqli $db): void
{
    rows($db, 'CREATE PROCEDURE my_two(IN n INT, OUT twice INT) BEGIN SELECT n AS a;
        SELECT n + 1 AS b UNION SELECT n + 2; SET twice = n * 2; END');
    $db->multi_query('CALL my_two(5, @twice)');
    check('call', results($db), [[['5']], [['6'], ['7']], 0]);
    check('call out', rows($db, 'SELECT @twice'), [['10']]);
    $call = $db->prepare('CALL my_two(?, ?)');
    $in = 6;
    $out = 0;
    $call->bind_param('ii', $in, $out);
    $call->execute();
    $got = [];
    do {
        $result = $call->get_result();
        if ($result) {
            $got[] = $result->fetch_all();
        }
    } while ($call->more_results() && $call->next_result());
    check('prepared call', $got, [[[6]], [[7], [8]]]); // mysqlnd hides the set of OUT parameters
    $call->close();
    $db->multi_query("SELECT 1; SET @x = 7; SELECT @x, 'two'; UPDATE my_tx SET id = id + 100");
    check('multi statements', results($db), [[['1']], 0, [['7', 'two']], 2]);
    $db->multi_query('SELECT 1; SELECT * FROM my_absent; SELECT 3');
    check('multi error', [results($db), $db->errno], [[[['1']]], 1146]);
    check('usable after multi error', rows($db, 'SELECT 4'), [['4']]);
    check('multi statements off', substr(errorOf($db, 'SELECT 1; SELECT 2'), 0, 4), '1064');
}

function large(mysqli $db): void
{
    rows($db, 'CREATE TABLE my_large (id INT PRIMARY KEY, v LONGBLOB)');
    $value = str_repeat(implode('', array_map('chr', range(0, 255))), 4 * (17 << 10)); // 17 MiB
    $insert = $db->prepare('INSERT INTO my_large VALUES (?, ?)');
    $id = 1;
    $null = null;
    $insert->bind_param('ib', $id, $null);
    foreach (str_split($value, 4 << 20) as $piece) {
        $insert->send_long_data(1, $piece);
    }
    check('send_long_data', $insert->execute(), true);
    $id = 2;
    $small = 'small';
    $insert->bind_param('is', $id, $small);
    check('after send_long_data', $insert->execute(), true);
    check('large literal', $db->query("INSERT INTO my_large VALUES (3, '" . $db->real_escape_string($value) . "')"), true);
    settle();
    $select = $db->prepare('SELECT v FROM my_large WHERE id <> ? ORDER BY id');
    $none = 3;
    $select->bind_param('i', $none);
    $select->execute();
    $got = $select->get_result()->fetch_all();
    check('large binary', [strlen($got[0][0]), $got[0][0] === $value, $got[1][0]], [17 << 20, true, 'small']);
    $got = rows($db, 'SELECT v FROM my_large ORDER BY id');
    check('large text', [$got[0][0] === $value, $got[1][0], $got[2][0] === $value], [true, 'small', true]);
    $too = $db->prepare('INSERT INTO my_large VALUES (?, ?)');
    $id = 4;
    $too->bind_param('is', $id, $value);
    check('large parameter', $too->execute(), true);
}

function errors(mysqli $db): void
{
    rows($db, 'CREATE TABLE my_err (id INT PRIMARY KEY, n INT NOT NULL)');
    rows($db, 'INSERT INTO my_err VALUES (1, 1)');
    settle();
    $key = getenv('BW_FLAVOR') === 'mysql' ? 'my_err.PRIMARY' : 'PRIMARY';
    check('error duplicate', errorOf($db, 'INSERT INTO my_err VALUES (1, 2)'), "1062 23000 Duplicate entry '1' for key '$key'");
    check('error syntax', substr(errorOf($db, 'SELEC 1'), 0, 10), '1064 42000');
    check('error table', errorOf($db, 'SELECT * FROM my_absent'), "1146 42S02 Table '" . getenv('BW_SCHEMA') . ".my_absent' doesn't exist");
    check('error signal', errorOf($db, "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'own words', MYSQL_ERRNO = 31001"), '31001 45000 own words');
    check('prepare error', [$db->prepare('SELECT * FROM my_absent'), $db->errno], [false, 1146]);
    $twice = $db->prepare('INSERT INTO my_err VALUES (?, 1)');
    $id = 1;
    $twice->bind_param('i', $id);
    check('execute error', [$twice->execute(), $twice->errno, $twice->sqlstate], [false, 1062, '23000']);
    $id = 2;
    check('execute after error', $twice->execute(), true);
    rows($db, "SELECT CAST('12x' AS SIGNED)");
    check('warnings', [$db->warning_count, $db->get_warnings()->message], [1, "Truncated incorrect INTEGER value: '12x'"]);
}

function characterSets(mysqli $db): void
{
    check('emoji', rows($db, "SELECT '🐑', HEX('🐑')"), [['🐑', 'F09F9091']]);
    $sets = ['latin1' => "\xe9", 'gbk' => "\xd5\x5c", 'sjis' => "\x95\x5c", 'big5' => "\xb3\x5c"];
    foreach ($sets as $name => $bytes) {
        $db->set_charset($name);
        $quoted = $db->real_escape_string($bytes . "'");
        [[$hex, $back]] = rows($db, "SELECT HEX('$quoted'), '$quoted'");
        check("charset $name", [$hex, bin2hex($back)], [strtoupper(bin2hex($bytes)) . '27', bin2hex($bytes) . '27']);
    }
    $db->set_charset('utf8mb4');
}

function idsAndCounts(mysqli $db): void
{
    rows($db, 'CREATE TABLE my_ids (id INT AUTO_INCREMENT PRIMARY KEY, n INT)');
    rows($db, 'INSERT INTO my_ids (n) VALUES (1), (2), (3)');
    check('insert', [$db->affected_rows, $db->insert_id, $db->info], [3, 1, 'Records: 3  Duplicates: 0  Warnings: 0']);
    check('last_insert_id', rows($db, 'SELECT LAST_INSERT_ID()'), [['1']]);
    rows($db, 'UPDATE my_ids SET n = 2 WHERE id <= 2');
    check('changed rows', [$db->affected_rows, $db->info], [1, 'Rows matched: 2  Changed: 1  Warnings: 0']);
    $found = connect(MYSQLI_CLIENT_FOUND_ROWS);
    rows($found, 'UPDATE my_ids SET n = 2 WHERE id <= 2');
    check('found rows flag', $found->affected_rows, 2);
    $found->close();
    $spaced = connect(MYSQLI_CLIENT_IGNORE_SPACE);
    check('ignore space flag', rows($spaced, 'SELECT COUNT (*) FROM my_ids WHERE id = 0'), [['0']]);
    $spaced->close();
}

function loadLocal(): void
{
    $path = getenv('BW_DIR') . '/my_load.csv';
    file_put_contents($path, implode('', array_map(fn($i) => "$i,line $i ü\n", range(0, 19999))));
    $db = connect(0, [MYSQLI_OPT_LOCAL_INFILE => 1]);
    rows($db, 'CREATE TABLE my_load (id INT PRIMARY KEY, v VARCHAR(40)) CHARACTER SET utf8mb4');
    rows($db, "LOAD DATA LOCAL INFILE '$path' INTO TABLE my_load FIELDS TERMINATED BY ','");
    check('load local', [$db->affected_rows, $db->info], [20000, 'Records: 20000  Deleted: 0  Skipped: 0  Warnings: 0']);
    settle();
    check('load local rows', rows($db, 'SELECT COUNT(*), MAX(v) FROM my_load'), [['20000', 'line 9999 ü']]);
    $missing = @$db->query("LOAD DATA LOCAL INFILE '/nonexistent/file' INTO TABLE my_load");
    check('load local missing file', $missing, false);
    check('usable after load local', rows($db, 'SELECT 5'), [['5']]);
    $db->close();
}

function sessionCommands(mysqli $db): void
{
    check('ping', $db->ping(), true);
    check('thread id', rows($db, 'SELECT CONNECTION_ID()')[0][0] === (string)$db->thread_id, true);
    check('stat', explode(' ', $db->stat())[0], 'Uptime:');
    check('select_db', [$db->select_db('information_schema'), rows($db, 'SELECT DATABASE()')], [true, [['information_schema']]]);
    check('select_db unknown', [$db->select_db('my_absent_schema'), $db->errno], [false, 1049]);
    $db->select_db(getenv('BW_SCHEMA'));
    rows($db, 'SET @before = 1');
    rows($db, 'SET SESSION group_concat_max_len = 7');
    rows($db, 'CREATE TEMPORARY TABLE my_temp (id INT)');
    check('temporary table', rows($db, 'SELECT COUNT(*) FROM my_temp'), [['0']]);
    check('session variable in a read', rows($db, 'SELECT GROUP_CONCAT(v ORDER BY id) FROM my_load WHERE id < 9'), [['line 0 ']]);
    check('change_user', $db->change_user(getenv('BW_OTHER_USER'), getenv('BW_OTHER_PASSWORD'), getenv('BW_SCHEMA')), true);
    check('change_user state', rows($db, 'SELECT CURRENT_USER(), @before, @@group_concat_max_len > 7'), [[getenv('BW_OTHER_USER') . '@%', null, '1']]);
    check('change_user read', rows($db, 'SELECT COUNT(*) FROM my_load'), [['20000']]);
    check('change_user temporary table', substr(errorOf($db, 'SELECT COUNT(*) FROM my_temp'), 0, 4), '1146');
    check('change_user back', [$db->change_user(getenv('BW_USER'), getenv('BW_PASSWORD'), getenv('BW_SCHEMA')), rows($db, 'SELECT CURRENT_USER()')], [true, [[getenv('BW_USER') . '@%']]]);
    check('change_user refused', [@$db->change_user(getenv('BW_USER'), 'wrong', getenv('BW_SCHEMA')), $db->errno], [false, 1045]);
}

function kills(): void
{
    $victim = connect();
    $killer = connect();
    $id = $victim->thread_id;
    $victim->query('SELECT SUM(a.n * b.n % 7 + c.n) FROM my_seq a, my_seq b, my_seq c', MYSQLI_ASYNC);
    // The KILL is repeated, because nobody knows when the query begins.
    for ($tries = 0; $tries < 300; $tries++) {
        rows($killer, "KILL QUERY $id");
        $read = [$victim];
        $error = [$victim];
        $reject = [];
        if (mysqli_poll($read, $error, $reject, 0, 100000) > 0) {
            break;
        }
    }
    $victim->reap_async_query();
    check('kill query', "$victim->errno $victim->sqlstate $victim->error", '1317 70100 Query execution was interrupted');
    check('killed session lives', rows($victim, 'SELECT 1'), [['1']]);
    if (getenv('BW_FLAVOR') === 'mysql') { // MySQL 9 has no COM_PROCESS_KILL
        rows($killer, "KILL $id");
    } else {
        check('kill command', @$killer->kill($id), true);
    }
    $lost = false;
    for ($tries = 0; $tries < 100 && !$lost; $tries++) {
        $lost = @$victim->query('SELECT 1') === false;
        usleep(50000);
    }
    check('kill connection', $lost, true);
    check('kill unknown', substr(errorOf($killer, 'KILL QUERY 4000000000'), 0, 10), '1094 HY000');
}

function options(): void
{
    $squeezed = connect(MYSQLI_CLIENT_COMPRESS);
    check('compressed read', rows($squeezed, 'SELECT COUNT(*), MAX(v) FROM my_load'), [['20000', 'line 9999 ü']]);
    check('compressed large', strlen(rows($squeezed, 'SELECT v FROM my_large WHERE id = 1')[0][0]), 17 << 20);
    $squeezed->close();
    $encrypted = connect(MYSQLI_CLIENT_SSL | MYSQLI_CLIENT_SSL_DONT_VERIFY_SERVER_CERT);
    check('tls', rows($encrypted, 'SELECT COUNT(*) FROM my_load'), [['20000']]);
    $encrypted->close();
    foreach (['password' => [getenv('BW_USER'), 'wrong', getenv('BW_SCHEMA')], 'schema' => [getenv('BW_USER'), getenv('BW_PASSWORD'), 'my_absent_schema']] as $name => $with) {
        $db = mysqli_init();
        $ok = @$db->real_connect(getenv('BW_HOST'), $with[0], $with[1], $with[2], (int)getenv('BW_PORT'));
        check("refused $name", [$ok, mysqli_connect_errno()], [false, $name === 'password' ? 1045 : 1049]);
    }
}

$db = connect();
types($db);
cursors($db);
transactions($db);
multiResults($db);
large($db);
errors($db);
characterSets($db);
idsAndCounts($db);
loadLocal();
sessionCommands($db);
kills();
options();
exit($failures ? 1 : 0);
