"""Attacks by SQL: statements that reach beyond their tables, or cost too much."""

import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from uuid import uuid4

from tests.e2e.command import post
from tests.e2e.hub import Hub

CONFIG = """
url:
  chat:
    pattern: /chat
    handler: MessageHandler
    kwargs: {columns: {body: TEXT, n: INTEGER}}
  secret:
    pattern: /secret
    handler: MessageHandler
    kwargs: {columns: {x: TEXT}}
  sql:
    pattern: /sql
    handler: SQLHandler
    kwargs: {tables: chat, limits: {seconds: 1, memory: 256MiB, rows: 1000}}
auth:
  proxy: {header: X-User, trusted: [127.0.0.1]}
"""
BAIT = "bait-7d1f"
"""In a file that no statement may read, and in a row of a table that no statement may reach."""
ATTEMPT_SECONDS = 30

WRITES = [
    "INSERT INTO chat (id) VALUES ('x')",
    "UPDATE chat SET n = 0",
    "DELETE FROM chat",
    "TRUNCATE chat",
    "MERGE INTO chat USING (SELECT 1 AS i) ON false WHEN NOT MATCHED THEN INSERT (id) VALUES (1)",
    "INSERT OR REPLACE INTO chat (id) VALUES ('x')",
    "WITH x AS (DELETE FROM chat RETURNING *) SELECT * FROM x",
    "WITH x AS (UPDATE chat SET n = 0 RETURNING *) SELECT * FROM x",
    "WITH x AS (INSERT INTO chat (id) VALUES ('x') RETURNING *) SELECT * FROM x",
    "SELECT * FROM (WITH x AS (DELETE FROM chat RETURNING id) SELECT id FROM x)",
    "SELECT (WITH x AS (DELETE FROM chat RETURNING id) SELECT count(*) FROM x)",
    "SELECT 1 UNION ALL (WITH x AS (DELETE FROM chat RETURNING n) SELECT n FROM x)",
    "WITH a AS (WITH b AS (DELETE FROM chat RETURNING id) SELECT * FROM b) SELECT * FROM a",
    "WITH x AS (COPY chat TO '{folder}/out.csv') SELECT * FROM x",
    "COPY chat TO '{folder}/out.csv'",
    "COPY (SELECT 1) TO '{folder}/out.parquet' (FORMAT parquet)",
    "EXPORT DATABASE '{folder}/out'",
    "IMPORT DATABASE '{folder}'",
    "DROP TABLE chat",
    "ALTER TABLE chat ADD COLUMN y INTEGER",
    "CREATE TABLE y AS SELECT 1",
    "CREATE TEMP TABLE y AS SELECT 1",
    "CREATE VIEW y AS SELECT 1",
    "CREATE MACRO y() AS 1",
    "CREATE OR REPLACE MACRO chat_as_of(moment) AS TABLE SELECT 1",
    "CREATE SEQUENCE y",
    "CREATE TYPE y AS ENUM ('a')",
    "CREATE SCHEMA y",
    "CREATE INDEX y ON chat (id)",
    "CREATE SECRET y (TYPE s3)",
    "COMMENT ON TABLE chat IS 'x'",
    "SELECT nextval('y')",
    "SELECT setval('y', 1)",
    "SELECT currval('y')",
    "VACUUM",
    "ANALYZE",
    "CHECKPOINT",
    "FORCE CHECKPOINT",
    "SELECT * FROM checkpoint()",
    "SELECT * FROM force_checkpoint()",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "ABORT",
    "PREPARE y AS SELECT 1",
    "EXECUTE y",
    "DEALLOCATE y",
    "COMMIT; UPDATE chat SET n = 0; SELECT 1",
    "SELECT 1; ROLLBACK; DELETE FROM chat",
    "COMMIT; BEGIN; DROP TABLE chat_history; COMMIT",
]
FILES = [
    "SELECT * FROM read_text('{folder}/bait.txt')",
    "SELECT * FROM read_blob('{folder}/bait.txt')",
    "SELECT * FROM read_csv('{folder}/bait.txt')",
    "SELECT * FROM read_csv_auto('{folder}/bait.txt')",
    "SELECT * FROM read_json('{folder}/bait.txt')",
    "SELECT * FROM read_json_auto('{folder}/bait.txt')",
    "SELECT * FROM read_ndjson('{folder}/bait.txt')",
    "SELECT * FROM read_ndjson_objects('{folder}/bait.txt')",
    "SELECT * FROM read_parquet('{folder}/bait.txt')",
    "SELECT * FROM parquet_scan('{folder}/bait.txt')",
    "SELECT * FROM parquet_metadata('{folder}/bait.txt')",
    "SELECT * FROM parquet_schema('{folder}/bait.txt')",
    "SELECT * FROM parquet_kv_metadata('{folder}/bait.txt')",
    "SELECT * FROM read_duckdb('{folder}/data/projection.duckdb')",
    "SELECT * FROM sniff_csv('{folder}/bait.txt')",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT * FROM '{folder}/bait.csv'",
    "FROM '{folder}/bait.txt'",
    'SELECT * FROM "{folder}/bait.csv"',
    "SELECT * FROM 'https://127.0.0.1:1/bait.parquet'",
    "SELECT * FROM read_parquet('s3://bait/x.parquet')",
    "ATTACH '{folder}/data/projection.duckdb' AS main_tables (READ_ONLY)",
    "DETACH projection",
    "USE projection",
    "CONNECT '{folder}/data/projection.duckdb'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "UPDATE EXTENSIONS",
    "SELECT getenv('HOME')",
    "SELECT * FROM duckdb_external_file_cache()",
    "SELECT * FROM arrow_scan(0, 0, 0)",
    "SELECT * FROM pandas_scan(0)",
    "SELECT * FROM python_map_function(0)",
    "SELECT * FROM sys",
    "SELECT * FROM setup",
]
OTHERS = [
    "SELECT * FROM secret",
    "SELECT * FROM secret_history",
    "SELECT * FROM secret_as_of(1)",
    "SELECT * FROM main.secret",
    "SELECT * FROM query('SELECT * FROM secret')",
    "SELECT * FROM query_table('secret')",
    "SELECT * FROM query_table(['chat', 'secret'])",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT * FROM secret'))",
    "SELECT * FROM pragma_storage_info('secret')",
    "SELECT * FROM pragma_table_info('secret')",
    "SELECT * FROM histogram(secret, x)",
    "SELECT * FROM histogram_values(secret, x)",
    "DESCRIBE secret",
    "SUMMARIZE secret",
    "EXPLAIN SELECT * FROM secret",
    "EXPLAIN ANALYZE SELECT * FROM chat",
    "CALL pragma_table_info('secret')",
    "PRAGMA table_info('secret')",
    "SELECT * FROM chat AS c, LATERAL (SELECT * FROM secret)",
    "SELECT (SELECT max(x) FROM secret)",
    "SELECT * FROM chat WHERE EXISTS (FROM secret)",
    "SELECT list_transform([1], lambda v: (SELECT max(x) FROM secret))",
    "WITH secret_2 AS (FROM secret) FROM secret_2",
    "SELECT 1; SELECT * FROM secret",
    "/* SELECT */ DELETE FROM chat; SELECT 1",
]
PROCESS = [
    "SET memory_limit = '100GB'",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "SET VARIABLE y = 1",
    "RESET memory_limit",
    "PRAGMA memory_limit = '100GB'",
    "PRAGMA enable_profiling",
    "PRAGMA database_list",
    "SELECT current_setting('temp_directory')",
    "SELECT current_setting('memory_limit')",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_databases()",
    "SELECT * FROM duckdb_databases",
    "SELECT * FROM pragma_database_list",
    "SELECT * FROM pg_catalog.pg_settings",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM which_secret('s3://x', 's3')",
    "SELECT * FROM duckdb_extensions()",
    "SELECT * FROM duckdb_logs",
    "SELECT * FROM duckdb_logs()",
    "SELECT * FROM duckdb_log_contexts()",
    "SELECT * FROM duckdb_temporary_files()",
    "SELECT * FROM duckdb_memory()",
    "SELECT * FROM duckdb_prepared_statements()",
    "SELECT * FROM enable_logging()",
    "SELECT * FROM disable_logging()",
    "CALL enable_logging()",
    "SELECT * FROM enable_profiling()",
    "SELECT * FROM truncate_duckdb_logs()",
    "SELECT write_log('x')",
    "SELECT list_transform([1], lambda v: write_log('x'))",
    "SELECT * FROM create_external_resource('x')",
    "SELECT * FROM seq_scan('chat')",
    "SHOW DATABASES",
    "SELECT * FROM pragma_user_agent()",
    "SELECT * FROM pragma_platform()",
    "SELECT pg_sleep(60)",
    "SELECT sleep_ms(60000)",
]
COSTS = [
    "SELECT length(repeat('x', 2000000000))",
    "SELECT length(printf('%2000000000d', 1))",
    "SELECT length(format('{{:>2000000000}}', 'x'))",
    "SELECT length(lpad('x', 2000000000, 'y'))",
    "SELECT length(rpad('x', 2000000000, 'y'))",
    "SELECT len(list_transform(range(100000000), lambda x: x + 1))",
    "SELECT string_agg(repeat('x', 1000), '') FROM range(2000000)",
    "SELECT list(r) FROM range(1000000000) AS t(r)",
    "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range + b.range = 7",
    "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT count(*) FROM r",
    "SELECT max(hash(i)) FROM range(100000000000) t(i)",
    "SELECT * FROM range(100000000) t(i) ORDER BY hash(i)",
    "SELECT regexp_matches(repeat('a', 100000000), '(a*)*b')",
    "SELECT i, repeat('x', 10000) FROM range(10000000) t(i) ORDER BY 1 DESC",
    "SELECT unnest(range(1000000000)) ORDER BY 1 DESC",
    "SELECT " + "(" * 5000 + "1" + ")" * 5000,
    "SELECT " + "-" * 1 + "+".join(["1"] * 40000),
    "SELECT " + "[" * 3000 + "]" * 3000,
    "SELECT * FROM " + "(SELECT * FROM " * 500 + "chat" + ")" * 500,
    "SELECT 1 " + "UNION ALL SELECT 1 " * 5000,
    "SELECT '" + "x" * 200_000 + "'",
]


def started(folder: Path) -> Hub:
    """Start a hub with bait in a file and in a table that no statement may reach."""
    (folder / "eventhub.yaml").write_text(CONFIG)
    (folder / "bait.txt").write_text(BAIT)
    (folder / "bait.csv").write_text(f"a\n{BAIT}\n")
    hub = Hub(folder / "eventhub.yaml", folder, [])
    hub.start()
    post(f"{hub.url}/chat", id="a", body="one", n=1)
    post(f"{hub.url}/secret", id="s", x=BAIT)
    return hub


def check_unharmed(hub: Hub) -> None:
    """Check that the table, the folder and the hub are as they were."""
    assert table(hub) == [{"id": "a", "body": "one", "n": 1}]
    names = {path.name for path in hub.folder.iterdir()}
    assert names == {"eventhub.yaml", "bait.txt", "bait.csv", "data", "stdout.txt", "stderr.txt"}
    assert hub.process is not None
    assert hub.process.poll() is None


def send(hub: Hub, statement: str) -> tuple[int, str]:
    """Return status and text of an answer; each attack is of another user."""
    headers = {"X-User": uuid4().hex}
    request = urllib.request.Request(f"{hub.url}/sql", statement.encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=ATTEMPT_SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def table(hub: Hub) -> object:
    """Return the rows that SQL shows, once the process has recovered from what came before."""
    give_up = time.monotonic() + ATTEMPT_SECONDS
    while True:
        status, text = send(hub, "SELECT id, body, n FROM chat")
        if status == 200 or time.monotonic() > give_up:
            assert status == 200, text
            return json.loads(text)
