//! Where a value comes from, and what is said about one that cannot be used.

use super::*;

/// Resolves with flags and variables as pairs, and a file's text.
fn resolved(flags: &[(&str, &str)], env: &[(&str, &str)], file: Option<&str>) -> Result<Effective, ConfigError> {
    let find = |pairs: &[(&str, &str)], name: &str| {
        pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    };
    resolve(&|key| find(flags, key), &|name| find(env, name), file.map(|text| File { name: "spanlake.toml", text }))
}

fn origin(effective: &Effective, key: &str) -> Origin {
    effective.values.iter().find(|value| value.setting.key == key).unwrap().origin.clone()
}

fn refusal(flags: &[(&str, &str)], env: &[(&str, &str)], file: Option<&str>) -> String {
    resolved(flags, env, file).unwrap_err().to_string()
}

#[test]
fn with_nothing_said_the_defaults_hold() {
    let effective = resolved(&[], &[], None).unwrap();
    assert_eq!(
        effective.config,
        Config {
            listen: "127.0.0.1:9411".to_owned(),
            data: "./spanlake-data".into(),
            projects: Projects::Single,
            log: "info".to_owned(),
            shutdown_timeout: Duration::from_secs(10),
            server: ServerConfig {
                header_timeout: Duration::from_secs(30),
                body_timeout: Duration::from_secs(30),
                max_connections: 4096,
                allowed_origins: Origins::Any,
            },
            ingest: IngestConfig {
                max_body_bytes: 10 << 20,
                max_decompressed_bytes: 64 << 20,
                max_inflight_bytes: 64 << 20,
                max_spans: 100_000,
                max_entries: 1_000_000,
                max_span_entries: 100_000,
                max_depth: 32,
                max_tag_bytes: 1 << 20,
            },
            events: EventsConfig {
                max_events: 100_000,
                max_values: 10_000,
                max_depth: 32,
                max_name_bytes: 4 << 10,
                max_message_bytes: 64 << 10,
                max_decoded_bytes: 64 << 20,
                retention: Duration::from_secs(30 * 86_400),
                context_margin: Duration::from_secs(600),
            },
            flush: FlushConfig { bytes: 64 << 20, interval: Duration::from_secs(30) },
            wal: WalConfig { segment_bytes: 32 << 20 },
            lake: LakeConfig { removed_file_retention: Duration::from_secs(600), compact_files: 8 },
            query: QueryConfig {
                timeout: Duration::from_secs(11),
                max_limit: 10_000,
                lookback: Duration::from_secs(86_400),
            },
            zipkin: ZipkinConfig {
                strict_trace_id: true,
                search_enabled: true,
                autocomplete_keys: vec![],
                names_max_age: Duration::from_secs(300),
            },
            zipkin_ui: ZipkinUiConfig {
                environment: String::new(),
                query_limit: 10,
                default_lookback: Duration::from_secs(900),
                logs_url: String::new(),
                support_url: String::new(),
                archive_post_url: String::new(),
                archive_url: String::new(),
                dependency_enabled: true,
                dependency_low_error_rate: 0.5,
                dependency_high_error_rate: 0.75,
            },
            ats: AtsConfig { miss_is_error: false },
            auth: AuthConfig {
                credentials: vec![],
                tokens: vec![],
                root_password: Secret::default(),
                clock_skew: Duration::from_secs(900),
            },
            registry: RegistryConfig {
                url: String::new(),
                max_services: 50_000,
                max_instances: 150_000,
                max_bytes: 512 << 20,
                max_schemas: 100,
                max_tags: 100,
            },
            sae: SaeConfig { default_xml: false },
            kie: KieConfig { max_items: 10_000, max_bytes: 64 << 20, max_waiting: 2_000 },
            ccs: CcsConfig { utc_offset: 8 * 3_600, hosts: vec!["ccs.api.qcloud.com".to_owned()] },
        }
    );
    assert!(effective.values.iter().all(|value| value.origin == Origin::Default));
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
    let file = "[ingest]\nmax_spans = 3\nmax_depth = 33\nmax_body_bytes = \"3MiB\"";
    let env = [("SPANLAKE_INGEST_MAX_SPANS", "2"), ("SPANLAKE_INGEST_MAX_DEPTH", "22")];
    let effective = resolved(&[("ingest.max_spans", "1")], &env, Some(file)).unwrap();

    let ingest = &effective.config.ingest;
    assert_eq!((ingest.max_spans, ingest.max_depth, ingest.max_body_bytes), (1, 22, 3 << 20));
    assert_eq!(origin(&effective, "ingest.max_spans"), Origin::Flag("--ingest-max-spans".to_owned()));
    assert_eq!(origin(&effective, "ingest.max_depth"), Origin::Environment("SPANLAKE_INGEST_MAX_DEPTH".to_owned()));
    assert_eq!(origin(&effective, "ingest.max_body_bytes"), Origin::File("spanlake.toml".to_owned()));
    assert_eq!(origin(&effective, "ingest.max_tag_bytes"), Origin::Default);
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    // Compose files hand variables through that way.
    let effective = resolved(&[], &[("SPANLAKE_LISTEN", "")], None).unwrap();
    assert_eq!(effective.config.listen, "127.0.0.1:9411");
}

#[test]
fn zipkins_own_name_for_strict_ids_is_understood_and_ours_wins() {
    let zipkin = resolved(&[], &[("STRICT_TRACE_ID", "false")], None).unwrap();
    assert!(!zipkin.config.zipkin.strict_trace_id);
    assert_eq!(origin(&zipkin, "zipkin.strict_trace_id"), Origin::Environment("STRICT_TRACE_ID".to_owned()));

    let both = [("STRICT_TRACE_ID", "false"), ("SPANLAKE_ZIPKIN_STRICT_TRACE_ID", "true")];
    assert!(resolved(&[], &both, None).unwrap().config.zipkin.strict_trace_id);
}

#[test]
fn zipkins_environment_is_read_in_zipkins_notation() {
    let taken = |name: &str, text: &str| resolved(&[], &[(name, text)], None).unwrap().config;
    assert!(!taken("SEARCH_ENABLED", "OFF").zipkin.search_enabled);
    assert_eq!(taken("AUTOCOMPLETE_KEYS", "http.method, error").zipkin.autocomplete_keys, ["http.method", "error"]);
    for (text, millis) in [("5000", 5_000), ("11s", 11_000), ("0", 0)] {
        assert_eq!(taken("QUERY_TIMEOUT", text).query.timeout, Duration::from_millis(millis), "{text}");
    }
    assert_eq!(taken("QUERY_LOOKBACK", "3600000").query.lookback, Duration::from_secs(3_600));
    for name in ["QUERY_NAMES_MAX_AGE", "ZIPKIN_QUERY_NAMES_MAX_AGE", "ZIPKIN_QUERY_NAMESMAXAGE"] {
        assert_eq!(taken(name, "60").zipkin.names_max_age, Duration::from_secs(60), "{name}");
    }
    for name in ["ZIPKIN_QUERY_ALLOWED_ORIGINS", "ZIPKIN_QUERY_ALLOWEDORIGINS"] {
        let only = Origins::Only(vec!["http://foo.bar.com".to_owned()]);
        assert_eq!(taken(name, "http://foo.bar.com").server.allowed_origins, only, "{name}");
    }
    let ui = taken("ZIPKIN_UI_DEFAULT_LOOKBACK", "60000").zipkin_ui;
    assert_eq!(ui.default_lookback, Duration::from_secs(60));
    assert_eq!(taken("ZIPKIN_UI_DEPENDENCY_LOWERRORRATE", "0.1").zipkin_ui.dependency_low_error_rate, 0.1);
}

#[test]
fn zipkins_port_leaves_the_host_as_it_is_and_our_own_names_win() {
    let listen = |flags: &[(&str, &str)], env: &[(&str, &str)], file: Option<&str>| {
        resolved(flags, env, file).unwrap().config.listen
    };
    let port = ("QUERY_PORT", "9500");
    assert_eq!(listen(&[], &[port], None), "127.0.0.1:9500");
    assert_eq!(listen(&[], &[port], Some("listen = \"[::]:80\"")), "[::]:9500");
    assert_eq!(listen(&[], &[port, ("SPANLAKE_LISTEN", "0.0.0.0:1")], None), "0.0.0.0:1");
    assert_eq!(listen(&[("listen", "0.0.0.0:2")], &[port], None), "0.0.0.0:2");
    assert_eq!(
        refusal(&[], &[("QUERY_PORT", "http")], None),
        "listen = \"127.0.0.1:http\" (from QUERY_PORT): expected HOST:PORT, such as 127.0.0.1:9411, or [::1]:9411"
    );
}

#[test]
fn allowed_origins_are_sites_as_browsers_name_them() {
    let taken =
        |text: &str| resolved(&[("server.allowed_origins", text)], &[], None).map(|e| e.config.server.allowed_origins);
    let only = |sites: &[&str]| Ok(Origins::Only(sites.iter().map(|site| (*site).to_owned()).collect()));
    assert_eq!(taken(""), only(&[]));
    assert_eq!(taken("http://a, https://B.example:8443,null"), only(&["http://a", "https://b.example:8443", "null"]));
    assert_eq!(taken("http://a/,http://b:80,moz-extension://C"), only(&["http://a", "http://b", "moz-extension://c"]));
    assert_eq!(taken("http://a,*"), Ok(Origins::Any));
    for bad in ["a.example.com", "http://a/path", "http://a?b", "http://a/#c", "http://"] {
        assert!(taken(bad).unwrap_err().to_string().ends_with("between commas"), "{bad}");
    }
}

#[test]
fn a_bad_value_is_named_with_its_origin_and_the_fix() {
    assert_eq!(
        refusal(&[], &[("SPANLAKE_INGEST_MAX_BODY_BYTES", "10 apples")], None),
        "ingest.max_body_bytes = \"10 apples\" (from SPANLAKE_INGEST_MAX_BODY_BYTES): \
         expected a size such as 64MiB, 10MB or 1048576"
    );
    assert_eq!(
        refusal(&[("listen", "9411")], &[], None),
        "listen = \"9411\" (from --listen): expected HOST:PORT, such as 127.0.0.1:9411, or [::1]:9411"
    );
    assert_eq!(
        refusal(&[], &[], Some("[flush]\ninterval = 30")),
        "flush.interval = \"30\" (from spanlake.toml): \
         expected a duration with its unit, such as 250ms, 30s, 5m, 2h or 7d"
    );
    assert_eq!(
        refusal(&[("projects", "both")], &[], None),
        "projects = \"both\" (from --projects): expected single or isolated"
    );
    assert!(refusal(&[("log", "nonsense=loud")], &[], None).starts_with("log = \"nonsense=loud\" (from --log): "));
}

#[test]
fn an_unknown_key_in_the_file_is_refused_with_the_nearest_known_one() {
    assert_eq!(
        refusal(&[], &[], Some("[ingest]\nmax_body = \"1MiB\"")),
        "spanlake.toml: unknown setting \"ingest.max_body\"; the nearest known one is \"ingest.max_body_bytes\" \
         (`spanlake config` lists them all)"
    );
    for (written, meant) in [
        ("lisen = 1", "listen"),
        ("max_spans = 1", "ingest.max_spans"),
        ("[ingst]\nmax_depth = 1", "ingest.max_depth"),
        ("[ingest.max]\nspans = 1", "ingest.max_spans"),
    ] {
        let text = refusal(&[], &[], Some(written));
        assert!(text.contains(&format!("the nearest known one is {meant:?}")), "{text}");
    }
}

#[test]
fn a_file_that_is_not_toml_is_refused_with_the_place() {
    let text = refusal(&[], &[], Some("listen = \n"));
    assert!(text.starts_with("spanlake.toml, line 1, column 10: this is not TOML: "), "{text}");
    assert!(refusal(&[], &[], Some("listen = [1]")).contains("listen is a list or a date"));
}

#[test]
fn what_stands_in_a_line_that_is_not_toml_is_not_told() {
    for (text, line, column) in [
        ("[auth]\nroot_password = \"Hunter2-pw\" oops\n", 2, 30),
        ("[auth]\ntokens = \"Hunter2-pw\n", 2, 21),
        ("[auth]\ntokens = Hunter2-pw\n", 2, 10),
        ("[auth]\ntokens = \"ä\\Hunter2-pw\"\n", 2, 13),
        ("[auth]\ntokens = \"Hunter2-pw\"\ntokens = \"Hunter2-pw2\"\n", 3, 1),
        ("Hunter2-pw", 1, 11),
    ] {
        let said = refusal(&[], &[], Some(text));
        let start = format!("spanlake.toml, line {line}, column {column}: this is not TOML: ");
        assert!(said.starts_with(&start), "{text:?}: {said}");
        assert!(!said.contains("unter2"), "{text:?}: {said}");
    }
}

#[test]
fn commas_without_a_secret_between_them_name_the_setting_and_switch_nothing_off() {
    let said = "expected TOKEN,TOKEN, or nothing at all: between these commas is nothing";
    assert_eq!(
        refusal(&[], &[("SPANLAKE_AUTH_TOKENS", " , ")], None),
        format!("auth.tokens = \"********\" (from SPANLAKE_AUTH_TOKENS): {said}")
    );
    let blank = resolved(&[], &[("SPANLAKE_AUTH_TOKENS", " ")], None).unwrap();
    assert_eq!(blank.config.auth, resolved(&[], &[], None).unwrap().config.auth);
    assert!(!show(&blank.values).contains(MASK));
}

#[test]
fn every_default_is_one_that_its_own_reader_takes_and_names_are_distinct() {
    let mut names: Vec<String> = SETTINGS.iter().flat_map(|setting| [setting.flag.to_owned(), setting.env()]).collect();
    names.extend(SETTINGS.iter().flat_map(|setting| setting.also_env).map(|also| also.name.to_owned()));
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
    for setting in SETTINGS {
        assert_eq!(setting.flag, setting.key.replace(['.', '_'], "-"));
        assert_eq!((setting.keep)(&mut Config::default(), setting.default), Ok(()), "{}", setting.key);
    }
}

#[test]
fn what_is_shown_is_a_file_that_means_the_same() {
    let env = [("SPANLAKE_INGEST_MAX_SPANS", "2"), ("SPANLAKE_DATA", "/var/lib/a \"quoted\" folder")];
    let effective = resolved(&[("ats.miss_is_error", "true")], &env, None).unwrap();
    let shown = show(&effective.values);
    assert_eq!(resolved(&[], &[], Some(&shown)).unwrap().config, effective.config, "{shown}");

    let line = |start: &str| shown.lines().find(|line| line.starts_with(start)).unwrap();
    assert!(line("max_spans = 2 ").ends_with("# SPANLAKE_INGEST_MAX_SPANS"));
    assert!(line("miss_is_error = true ").ends_with("# --ats-miss-is-error"));
    assert!(line("listen = \"127.0.0.1:9411\" ").ends_with("# default"));
}

#[test]
fn a_secret_is_shown_neither_among_the_settings_nor_in_an_error() {
    static SECRET: Setting = Setting {
        key: "auth.token",
        flag: "auth-token",
        form: Form::Text,
        default: "",
        help: "",
        also_env: &[],
        secret: true,
        keep: |_, _| Err("expected a token".to_owned()),
    };
    let value = Value { setting: &SECRET, text: "hunter2".to_owned(), origin: Origin::Default };
    assert_eq!(show(&[value]), "\n[auth]\ntoken = \"********\"  # default\n");
    let none = Value { setting: &SECRET, text: String::new(), origin: Origin::Default };
    assert_eq!(show(&[none]), "\n[auth]\ntoken = \"\"  # default\n");
    assert_eq!(
        refusal(&[], &[("SPANLAKE_AUTH_CREDENTIALS", "hunter2")], None),
        "auth.credentials = \"********\" (from SPANLAKE_AUTH_CREDENTIALS): expected ID:SECRET,ID:SECRET"
    );
}

#[test]
fn the_service_centres_own_name_for_the_first_password_is_understood() {
    let effective = resolved(&[], &[("SC_INIT_ROOT_PASSWORD", "P4$$word")], None).unwrap();
    assert_eq!(effective.config.auth.root_password.reveal(), "P4$$word");
    assert_eq!(origin(&effective, "auth.root_password"), Origin::Environment("SC_INIT_ROOT_PASSWORD".to_owned()));
}

#[test]
fn the_command_line_takes_every_setting_as_a_flag() {
    let command = clap::Command::new("spanlake").args(args(|_| true));
    let line = ["spanlake", "--ingest-max-spans", "7", "--ats-miss-is-error", "--zipkin-strict-trace-id", "false"];
    let matches = command.try_get_matches_from(line).unwrap();
    let effective =
        resolve(&|key| matches.try_get_one::<String>(key).ok().flatten().cloned(), &|_| None, None).unwrap();
    assert_eq!(effective.config.ingest.max_spans, 7);
    assert!(effective.config.ats.miss_is_error);
    assert!(!effective.config.zipkin.strict_trace_id);
}

#[test]
fn the_nearest_name_is_by_letters_changed() {
    assert_eq!(distance("", "abc"), 3);
    assert_eq!(distance("kitten", "sitting"), 3);
    assert_eq!(distance("listen", "listen"), 0);
}
