# What an application does with Perl's DBI, over DBD::mysql or DBD::MariaDB (the
# first argument: mysql or MariaDB), with emulated and with real prepared
# statements. Every line is "ok <name>: <value>". The same program runs against
# a server and through Bellwether, and must print the same.

use strict;
use warnings;
use utf8;

use DBI;
use Digest::SHA qw(sha256_hex);

binmode(STDOUT, ':encoding(UTF-8)');
$| = 1;

my $driver = shift // 'mysql';    # mysql or MariaDB
my $attr = $driver eq 'mysql' ? 'mysql' : 'mariadb';
my $failures = 0;

sub show {
    my ($v) = @_;
    return 'undef' unless defined $v;
    return '[' . join(', ', map { show($_) } @$v) . ']' if ref $v;
    return $v =~ /[^\x20-\x{10ffff}]/ ? join('', map { ord($_) < 32 ? sprintf('\\x%02x', ord $_) : $_ } split //, $v) : $v;
}

sub check {
    my ($name, $got, $want) = @_;
    ($got, $want) = (show($got), show($want));
    if ($got eq $want) { print "ok $name: $got\n"; return }
    $failures++;
    print "FAIL $name: got $got, want $want\n";
}

# Waits until the followers have applied what this program wrote.
sub settle { system($ENV{BW_SETTLE}) == 0 or die "settle: $?" }

sub connect_db {
    my (%o) = @_;
    my $user = delete $o{user} // $ENV{BW_USER};
    my $password = delete $o{password} // $ENV{BW_PASSWORD};
    my $schema = delete $o{schema} // $ENV{BW_SCHEMA};
    my %attributes = %{ delete $o{attributes} // {} };
    my $dsn = "dbi:$driver:database=$schema;host=$ENV{BW_HOST};port=$ENV{BW_PORT}";
    $dsn .= ";${attr}_$_=$o{$_}" for sort keys %o;
    $attributes{mysql_enable_utf8mb4} = 1 if $driver eq 'mysql';
    return DBI->connect($dsn, $user, $password, { RaiseError => 1, PrintError => 0, %attributes });
}

sub rows {
    my ($db, $sql, @args) = @_;
    my $st = $db->prepare($sql);
    $st->execute(@args);
    return $st->{NUM_OF_FIELDS} ? $st->fetchall_arrayref : [];
}

sub error_of {
    my ($f) = @_;
    return 'no error' if eval { $f->(); 1 };
    return ($DBI::err // 'none') . ' ' . ($DBI::state // '') if $DBI::err;
    return "died: $@";
}

sub statements {
    my ($db, $mode) = @_;
    my $t = "pl_types_$mode";
    rows($db, "CREATE TABLE $t (id INT PRIMARY KEY, big BIGINT, dec_ DECIMAL(20,5), dbl DOUBLE, txt VARCHAR(100),
        day DATE, at DATETIME(3)) CHARACTER SET utf8mb4");
    my @values = (1, '9223372036854775807', '12345.67890', 0.5, "Grüße 🐑 '\"\\?", '2026-02-28', '2026-02-28 23:59:59.123');
    my $insert = $db->prepare("INSERT INTO $t VALUES (?,?,?,?,?,?,?)");
    check("$mode insert", $insert->execute(@values), 1);
    $insert->execute(2, (undef) x 6);
    settle();
    check("$mode types", rows($db, "SELECT * FROM $t WHERE id >= ? ORDER BY id", 1), [ \@values, [ 2, (undef) x 6 ] ]);
    my $again = $db->prepare("SELECT txt FROM $t WHERE id = ?");
    check("$mode again", [ map { $again->execute($_); $again->fetchall_arrayref } 1, 2, '1', 3 ],
        [ [ [ $values[4] ] ], [ [undef] ], [ [ $values[4] ] ], [] ]);
    check("$mode columns", $db->selectrow_hashref("SELECT id AS n FROM $t WHERE id = 2")->{n}, 2);
    my @open = map { $db->prepare("SELECT $_, COUNT(*) FROM $t") } 1 .. 200;
    my $sum = 0;
    for my $st (@open) { $st->execute; $sum += ($st->fetchrow_array)[0]; $st->finish }
    check("$mode 200 open statements", $sum, 20100);
    my $value = '0123456789abcdef' x (1 << 20) . 'end';    # a little more than one packet
    rows($db, "CREATE TABLE ${t}_large (id INT, v LONGTEXT)");
    rows($db, "INSERT INTO ${t}_large VALUES (1, ?), (2, 'small')", $value);
    settle();
    {
        local $db->{LongReadLen} = 32 << 20;
        my $got = rows($db, "SELECT v FROM ${t}_large WHERE id > ? ORDER BY id", 0);
        check("$mode large", [ length $got->[0][0], sha256_hex($got->[0][0]) eq sha256_hex($value) ? 1 : 0, $got->[1][0] ],
            [ 16777219, 1, 'small' ]);
    }
}

sub transactions {
    my ($db, $mode) = @_;
    my $t = "pl_tx_$mode";
    rows($db, "CREATE TABLE $t (id INT PRIMARY KEY) ENGINE=InnoDB");
    $db->begin_work;
    rows($db, "INSERT INTO $t VALUES (?)", 1);
    check("$mode tx own write", rows($db, "SELECT COUNT(*) FROM $t WHERE id > ?", 0), [ [1] ]);
    $db->commit;
    $db->begin_work;
    rows($db, "INSERT INTO $t VALUES (2)");
    $db->rollback;
    $db->{AutoCommit} = 0;
    rows($db, "INSERT INTO $t VALUES (3)");
    $db->do('SAVEPOINT a');
    rows($db, "INSERT INTO $t VALUES (4)");
    $db->do('ROLLBACK TO SAVEPOINT a');
    check("$mode autocommit off own write", rows($db, "SELECT MAX(id) FROM $t"), [ [3] ]);
    $db->commit;
    rows($db, "INSERT INTO $t VALUES (5)");
    $db->rollback;
    $db->{AutoCommit} = 1;
    settle();
    check("$mode tx result", rows($db, "SELECT id FROM $t ORDER BY id"), [ [1], [3] ]);
}

sub results {
    my ($db, $mode) = @_;
    $db->do("CREATE PROCEDURE pl_two_$mode(IN n INT, OUT twice INT) BEGIN SELECT n AS a; SELECT n + 1 AS b UNION SELECT n + 2; SET twice = n * 2; END");
    my $call = $db->prepare("CALL pl_two_$mode(?, \@twice)");
    $call->execute(5);
    my @got;
    # With the binary protocol the drivers know the first result only.
    do { push @got, $call->fetchall_arrayref if $call->{NUM_OF_FIELDS} } while ($mode ne 'real' && $call->more_results);
    check("$mode call", \@got, $mode eq 'real' ? [ [ [5] ] ] : [ [ [5] ], [ [6], [7] ] ]);
    $call->finish;
    check("$mode call out", rows($db, 'SELECT @twice'), [ [10] ]);
}

sub errors {
    my ($db, $mode) = @_;
    check("$mode error duplicate", error_of(sub { rows($db, 'INSERT INTO pl_ids (id) VALUES (?)', 1) }), '1062 23000');
    check("$mode error syntax", error_of(sub { rows($db, 'SELEC 1') }), '1064 42000');
    check("$mode error table", error_of(sub { rows($db, 'SELECT * FROM pl_absent WHERE id = ?', 1) }), '1146 42S02');
    check("$mode error text", $db->errstr, "Table '$ENV{BW_SCHEMA}.pl_absent' doesn't exist");
    check("$mode after errors", rows($db, 'SELECT 1'), [ [1] ]);
}

sub ids_and_counts {
    my ($db) = @_;
    rows($db, 'CREATE TABLE pl_ids (id INT AUTO_INCREMENT PRIMARY KEY, n INT)');
    check('insert', $db->do('INSERT INTO pl_ids (n) VALUES (1), (2), (3)'), 3);
    check('last insert id', [ $db->{"${attr}_insertid"}, $db->last_insert_id(undef, undef, undef, undef), rows($db, 'SELECT LAST_INSERT_ID()') ],
        [ 1, 1, [ [1] ] ]);
    check('info', [ $db->do('UPDATE pl_ids SET n = 2 WHERE id <= 2'), $db->{"${attr}_info"} ],
        [ 2, 'Rows matched: 2  Changed: 1  Warnings: 0' ]);    # matched rows are the driver's default
    my $changed = connect_db(client_found_rows => 0);
    check('changed rows', $changed->do('UPDATE pl_ids SET n = 2 WHERE id <= 2'), '0E0');
    $changed->disconnect;
    rows($db, "SELECT CAST('12x' AS SIGNED)");
    check('warnings', rows($db, 'SHOW WARNINGS'), [ [ 'Warning', 1292, "Truncated incorrect INTEGER value: '12x'" ] ]);
}

sub load_local {
    my $path = "$ENV{BW_DIR}/pl_load.csv";
    open(my $out, '>:encoding(UTF-8)', $path) or die $!;
    print $out "$_,line $_ ü\n" for 0 .. 19999;
    close $out or die $!;
    my $db = connect_db(local_infile => 1);
    rows($db, 'CREATE TABLE pl_load (id INT PRIMARY KEY, v VARCHAR(40)) CHARACTER SET utf8mb4');
    check('load local', $db->do("LOAD DATA LOCAL INFILE '$path' INTO TABLE pl_load CHARACTER SET utf8mb4 FIELDS TERMINATED BY ','"), 20000);
    settle();
    check('load local rows', rows($db, 'SELECT COUNT(*), MAX(v) FROM pl_load'), [ [ 20000, 'line 9999 ü' ] ]);
    check('load local missing file', error_of(sub { $db->do("LOAD DATA LOCAL INFILE '/nonexistent/file' INTO TABLE pl_load") }) ne 'no error' ? 1 : 0, 1);
    check('usable after load local', rows($db, 'SELECT 5'), [ [5] ]);
    $db->disconnect;
}

sub session_commands {
    my ($db) = @_;
    check('ping', $db->ping ? 1 : 0, 1);
    my $id = $db->{"${attr}_thread_id"};
    check('thread id', rows($db, 'SELECT CONNECTION_ID()')->[0][0] == $id ? 1 : 0, 1);
    check('stat', $db->{"${attr}_stat"} =~ /^Uptime: / ? 1 : 0, 1);
    check('catalogue', [ grep { /pl_load/ } $db->tables(undef, $ENV{BW_SCHEMA}, 'pl_load', 'TABLE') ], ["`$ENV{BW_SCHEMA}`.`pl_load`"]);
    check('column info', $db->column_info(undef, $ENV{BW_SCHEMA}, 'pl_load', 'v')->fetchrow_hashref->{COLUMN_SIZE}, 40);
    # DBD::MariaDB 1.22 loses the rows of an unbuffered result, with any server.
    my $streamed = $db->prepare('SELECT id FROM pl_load ORDER BY id', $driver eq 'mysql' ? { mysql_use_result => 1 } : {});
    $streamed->execute;
    my $seen = 0;
    $seen++ while $streamed->fetchrow_arrayref;
    check('rows one by one', $seen, 20000);
    $db->do('CREATE TEMPORARY TABLE pl_temp AS SELECT 1 AS n');
    check('temporary table', rows($db, 'SELECT n FROM pl_temp'), [ [1] ]);
    $db->do('SET SESSION group_concat_max_len = 7');
    check('session variable in a read', rows($db, 'SELECT GROUP_CONCAT(v ORDER BY id) FROM pl_load WHERE id < 9'), [ ['line 0 '] ]);
}

sub kills {
    my ($victim, $killer) = (connect_db(), connect_db());
    rows($killer, 'CREATE TABLE pl_n (n INT)');
    rows($killer, 'INSERT INTO pl_n VALUES ' . join(',', map { "($_)" } 1 .. 2000));
    settle();
    my $id = $victim->{"${attr}_thread_id"};
    my $long = $victim->prepare('SELECT SUM(a.n * b.n % 7 + c.n) FROM pl_n a, pl_n b, pl_n c',
        { ($driver eq 'mysql' ? 'async' : 'mariadb_async') => 1 });
    $long->execute;
    my $ready = "${attr}_async_ready";
    # The KILL is repeated, because nobody knows when the query begins.
    do { $killer->do("KILL QUERY $id"); select(undef, undef, undef, 0.1) } until $long->$ready;
    my $result = "${attr}_async_result";
    check('kill query', error_of(sub { $long->$result }), '1317 70100');
    check('killed session lives', rows($victim, 'SELECT 1'), [ [1] ]);
    check('kill', defined $killer->do("KILL $id") ? 1 : 0, 1);
    my $lost = 0;
    for (1 .. 100) { last if $lost = !$victim->ping; select(undef, undef, undef, 0.05) }
    check('kill connection', $lost ? 1 : 0, 1);
    check('kill unknown', error_of(sub { $killer->do('KILL QUERY 4000000000') }), '1094 HY000');
}

sub options {
    my $squeezed = connect_db(compression => 1);
    $squeezed->{LongReadLen} = 32 << 20;
    check('compressed', [ map { length $_->[0] } @{ rows($squeezed, 'SELECT v FROM pl_types_real_large ORDER BY id') } ], [ 16777219, 5 ]);
    my $encrypted = connect_db();
    if ($driver eq 'MariaDB') {    # Debian's DBD::mysql is built without enforced TLS
        $encrypted = connect_db(ssl => 1, ssl_ca_file => $ENV{BW_CA});
        check('tls', rows($encrypted, 'SELECT COUNT(*) FROM pl_load'), [ [20000] ]);
    }
    my $multi = connect_db(multi_statements => 1);
    my $st = $multi->prepare("SELECT 1; SET \@x = 7; SELECT \@x, 'two'");
    $st->execute;
    my @got;
    do { push @got, $st->{NUM_OF_FIELDS} ? $st->fetchall_arrayref : $st->rows } while ($st->more_results);
    check('multi statements', scalar(@got), 3);
    check('multi statements last', $got[-1], [ [ 7, 'two' ] ]);
    check('multi statements off', error_of(sub { $squeezed->do('SELECT 1; SELECT 2') }), '1064 42000');
    my $started = connect_db(init_command => "SET \@started = 1");
    check('init command', rows($started, 'SELECT @started'), [ [1] ]);
    check('refused password', error_of(sub { connect_db(password => 'wrong') }) =~ /^1045/ ? 1 : 0, 1);
    check('refused schema', error_of(sub { connect_db(schema => 'pl_absent_schema') }) =~ /^1049/ ? 1 : 0, 1);
    $encrypted->do('SET NAMES latin1');
    check('set names', rows($encrypted, 'SELECT @@character_set_client, HEX(CONVERT(0xE9 USING latin1))'), [ [ 'latin1', 'E9' ] ]);
}

my $main = connect_db();
ids_and_counts($main);
load_local();
for my $mode ('emulated', 'real') {
    my $db = connect_db(server_prepare => $mode eq 'real' ? 1 : 0);
    statements($db, $mode);
    transactions($db, $mode);
    results($db, $mode);
    errors($db, $mode);
    $db->disconnect;
}
session_commands($main);
kills();
options();
exit($failures ? 1 : 0);
