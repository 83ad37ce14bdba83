<?php
// What an application does with PHP's PDO (pdo_mysql over mysqlnd), with
// emulated and with real prepared statements. Every line is "ok <name>:
// <value>". The same program runs against a server and through Bellwether, and
// must print the same.

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

function connect(array $options = [], array $with = []): PDO
{
    $with += ['host' => getenv('BW_HOST'), 'port' => getenv('BW_PORT'), 'dbname' => getenv('BW_SCHEMA'), 'charset' => 'utf8mb4'];
    $user = $with['user'] ?? getenv('BW_USER');
    $password = $with['password'] ?? getenv('BW_PASSWORD');
    unset($with['user'], $with['password']);
    $dsn = 'mysql:' . implode(';', array_map(fn($k, $v) => "$k=$v", array_keys($with), $with));
    return new PDO($dsn, $user, $password, $options + [
        PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION,
        PDO::ATTR_DEFAULT_FETCH_MODE => PDO::FETCH_NUM,
    ]);
}

function rows(PDO $db, string $sql, array $args = []): array
{
    $st = $db->prepare($sql);
    $st->execute($args);
    return $st->columnCount() ? $st->fetchAll() : [];
}

function errorOf(callable $f): string
{
    try {
        $f();
    } catch (PDOException $e) {
        return implode(' ', array_slice($e->errorInfo ?? [$e->getCode()], 0, 2));
    }
    return 'no error';
}

function statements(PDO $db, string $mode): void
{
    $t = "pdo_types_$mode";
    rows($db, "CREATE TABLE $t (id INT PRIMARY KEY, big BIGINT UNSIGNED, dec_ DECIMAL(20,5), dbl DOUBLE,
        txt VARCHAR(100), raw VARBINARY(100), at DATETIME(3)) CHARACTER SET utf8mb4");
    $values = [1, '18446744073709551615', '12345.67890', 0.5, "Grüße 🐑 '\"\\?", "a\0b'\\", '2026-02-28 23:59:59.123'];
    $insert = $db->prepare("INSERT INTO $t VALUES (?,?,?,?,?,?,?)");
    $insert->execute($values);
    check("$mode insert", $insert->rowCount(), 1);
    $insert->execute([2, null, null, null, null, null, null]);
    settle();
    check("$mode types", rows($db, "SELECT * FROM $t WHERE id = ?", [1]), [$values]);
    $named = $db->prepare("SELECT id, txt FROM $t WHERE txt = :word OR id = :id ORDER BY id");
    $named->bindValue(':word', $values[4]);
    $named->bindValue(':id', 2, PDO::PARAM_INT);
    $named->execute();
    check("$mode named", $named->fetchAll(), [[1, $values[4]], [2, null]]);
    $again = $db->prepare("SELECT ? + 0, id FROM $t WHERE id = 1");
    $sums = [];
    foreach ([1, '2', null, 4.5] as $value) {
        $again->execute([$value]);
        $sums[] = $again->fetchAll()[0][0];
    }
    check("$mode executed with several types", array_map(fn($v) => $v === null ? null : (float)$v, $sums), [1.0, 2.0, null, 4.5]);
    $open = [];
    for ($i = 0; $i < 200; $i++) {
        $open[] = $db->prepare("SELECT $i, COUNT(*) FROM $t");
    }
    $sum = 0;
    foreach ($open as $st) {
        $st->execute();
        $sum += $st->fetchAll()[0][0];
    }
    check("$mode 200 open statements", $sum, 19900);
    $value = str_repeat('0123456789abcdef', 1 << 20) . 'end'; // a little more than one packet
    rows($db, "CREATE TABLE {$t}_large (id INT, v LONGBLOB)");
    rows($db, "INSERT INTO {$t}_large VALUES (?, ?), (2, 'small')", [1, $value]);
    settle();
    $got = rows($db, "SELECT v FROM {$t}_large WHERE id > ? ORDER BY id", [0]);
    check("$mode large", [strlen($got[0][0]), $got[0][0] === $value, $got[1][0]], [16777219, true, 'small']);
}

function transactions(PDO $db, string $mode): void
{
    $t = "pdo_tx_$mode";
    rows($db, "CREATE TABLE $t (id INT PRIMARY KEY) ENGINE=InnoDB");
    $db->beginTransaction();
    rows($db, "INSERT INTO $t VALUES (?)", [1]);
    check("$mode tx own write", [$db->inTransaction(), rows($db, "SELECT COUNT(*) FROM $t WHERE id >= ?", [0])], [true, [[1]]]);
    $db->commit();
    check("$mode tx over", $db->inTransaction(), false);
    $db->beginTransaction();
    rows($db, "INSERT INTO $t VALUES (2)");
    $db->rollBack();
    $db->beginTransaction();
    rows($db, "INSERT INTO $t VALUES (3)");
    $db->exec('SAVEPOINT a');
    rows($db, "INSERT INTO $t VALUES (4)");
    $db->exec('ROLLBACK TO a');
    $db->commit();
    $db->setAttribute(PDO::ATTR_AUTOCOMMIT, 0);
    $db->exec("INSERT INTO $t VALUES (5)");
    check("$mode autocommit off own write", rows($db, "SELECT MAX(id) FROM $t"), [[5]]);
    $db->exec('ROLLBACK');
    $db->setAttribute(PDO::ATTR_AUTOCOMMIT, 1);
    settle();
    check("$mode tx result", rows($db, "SELECT id FROM $t ORDER BY id"), [[1], [3]]);
    $db->beginTransaction();
    $db->exec("CREATE TABLE {$t}_implicit (id INT)");
    check("$mode implicit commit is seen", $db->inTransaction(), false);
}

function results(PDO $db, string $mode): void
{
    rows($db, "CREATE PROCEDURE pdo_two_$mode(IN n INT) BEGIN SELECT n AS a; SELECT n + 1 AS b UNION SELECT n + 2; END");
    $call = $db->prepare("CALL pdo_two_$mode(?)");
    $call->execute([5]);
    $got = [];
    do {
        if ($call->columnCount()) {
            $got[] = $call->fetchAll();
        }
    } while ($call->nextRowset());
    check("$mode call", array_values(array_filter($got)), [[[5]], [[6], [7]]]);
    $call->closeCursor();
    if ($mode === 'emulated') { // a prepared statement holds one statement only
        $multi = $db->query("SELECT 1; SET @x = 7; SELECT @x");
        $got = [];
        do {
            $got[] = $multi->columnCount() ? $multi->fetchAll() : null;
        } while ($multi->nextRowset());
        check("$mode multi statements", $got, [[[1]], null, [[7]]]);
        $multi->closeCursor();
        $multi = $db->query('SELECT 1; SELECT * FROM pdo_absent');
        check("$mode multi error", errorOf(fn() => $multi->nextRowset()), '42S02 1146');
        $multi->closeCursor();
    }
    check("$mode after multi error", rows($db, 'SELECT 4'), [[4]]);
    check("$mode changed rows", $db->exec("UPDATE pdo_tx_$mode SET id = id + 10"), 2);
}

function errors(PDO $db, string $mode): void
{
    check("$mode error duplicate", errorOf(fn() => rows($db, 'INSERT INTO pdo_ids (id) VALUES (?)', [1])), '23000 1062');
    check("$mode error syntax", errorOf(fn() => rows($db, 'SELEC 1')), '42000 1064');
    check("$mode error table", errorOf(fn() => rows($db, 'SELECT * FROM pdo_absent WHERE id = ?', [1])), '42S02 1146');
    check("$mode error in a row", errorOf(fn() => rows($db, 'SELECT (SELECT id FROM pdo_ids UNION SELECT ?)', [999])), '21000 1242');
    check("$mode after errors", rows($db, 'SELECT 1'), [[1]]);
}

function unbuffered(): void
{
    $db = connect([PDO::MYSQL_ATTR_USE_BUFFERED_QUERY => false]);
    $st = $db->query('SELECT id FROM pdo_load ORDER BY id');
    check('unbuffered first', $st->fetch(), [0]);
    check('unbuffered busy', errorOf(fn() => $db->query('SELECT 1')), 'HY000 2014');
    check('unbuffered rest', count($st->fetchAll()), 19999);
    check('unbuffered after', $db->query('SELECT 1')->fetchAll(), [[1]]);
}

function loadLocal(): void
{
    $path = getenv('BW_DIR') . '/pdo_load.csv';
    file_put_contents($path, implode('', array_map(fn($i) => "$i,line $i ü\n", range(0, 19999))));
    $db = connect([PDO::MYSQL_ATTR_LOCAL_INFILE => true]);
    $db->exec('CREATE TABLE pdo_load (id INT PRIMARY KEY, v VARCHAR(40)) CHARACTER SET utf8mb4');
    check('load local', $db->exec("LOAD DATA LOCAL INFILE '$path' INTO TABLE pdo_load FIELDS TERMINATED BY ','"), 20000);
    settle();
    check('load local rows', rows($db, 'SELECT COUNT(*), MAX(v) FROM pdo_load'), [[20000, 'line 9999 ü']]);
}

function sessions(): void
{
    $db = connect([PDO::MYSQL_ATTR_INIT_COMMAND => "SET @started = 'yes'"]);
    check('init command', rows($db, 'SELECT @started'), [['yes']]);
    check('server info', str_starts_with($db->getAttribute(PDO::ATTR_SERVER_INFO), 'Uptime:'), true);
    check('server version', $db->getAttribute(PDO::ATTR_SERVER_VERSION) === rows($db, 'SELECT VERSION()')[0][0], true);
    $db->exec('INSERT INTO pdo_ids (n) VALUES (1), (2), (3)');
    check('last insert id', [$db->lastInsertId(), rows($db, 'SELECT LAST_INSERT_ID()')], ['2', [[2]]]);
    $found = connect([PDO::MYSQL_ATTR_FOUND_ROWS => true]);
    check('found rows flag', $found->exec('UPDATE pdo_ids SET n = n'), 4);
    $single = connect([PDO::MYSQL_ATTR_MULTI_STATEMENTS => false]);
    check('multi statements off', errorOf(fn() => $single->query('SELECT 1; SELECT 2')), '42000 1064');
    $squeezed = connect([PDO::MYSQL_ATTR_COMPRESS => true]);
    check('compressed', rows($squeezed, 'SELECT LENGTH(v), v = REPEAT(?, 3) FROM pdo_types_real_large ORDER BY id', ['x']), [[16777219, 0], [5, 0]]);
    $encrypted = connect([PDO::MYSQL_ATTR_SSL_CA => getenv('BW_CA'), PDO::MYSQL_ATTR_SSL_VERIFY_SERVER_CERT => false]);
    check('tls', rows($encrypted, 'SELECT COUNT(*) FROM pdo_load'), [[20000]]);
    foreach (['latin1' => "\xe9", 'gbk' => "\xd5\x5c", 'cp932' => "\x95\x5c"] as $charset => $bytes) {
        $other = connect([], ['charset' => $charset]);
        check("charset $charset", rows($other, 'SELECT HEX(?)', [$bytes . "'"]), [[strtoupper(bin2hex($bytes)) . '27']]);
    }
    check('refused password', errorOf(fn() => connect([], ['password' => 'wrong'])), 'HY000 1045');
    check('refused schema', errorOf(fn() => connect([], ['dbname' => 'pdo_absent_schema'])), 'HY000 1049');
    $kept = connect([PDO::ATTR_PERSISTENT => true]);
    $id = rows($kept, 'SELECT CONNECTION_ID()')[0][0];
    $kept = null;
    check('persistent connection', rows(connect([PDO::ATTR_PERSISTENT => true]), 'SELECT CONNECTION_ID()')[0][0] === $id, true);
    $db->exec("KILL $id");
    check('persistent connection was killed and is made again', rows(connect([PDO::ATTR_PERSISTENT => true]), 'SELECT 1'), [[1]]);
}

$setUp = connect();
$setUp->exec('CREATE TABLE pdo_ids (id INT AUTO_INCREMENT PRIMARY KEY, n INT)');
$setUp->exec('INSERT INTO pdo_ids (n) VALUES (1)');
loadLocal();
foreach (['emulated' => true, 'real' => false] as $mode => $emulate) {
    $db = connect([PDO::ATTR_EMULATE_PREPARES => $emulate]);
    statements($db, $mode);
    transactions($db, $mode);
    results($db, $mode);
    errors($db, $mode);
}
unbuffered();
sessions();
exit($failures ? 1 : 0);
