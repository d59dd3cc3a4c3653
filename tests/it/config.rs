//! `spanlake config`, and what is said about settings that cannot be used.

use crate::support::server::{output, spanlake};

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn config_prints_every_value_with_its_origin() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("spanlake.toml"), "[ingest]\nmax_depth = 20\n").unwrap();
    let shown = spanlake(&["config", "--flush-interval", "5s"], dir.path())
        .env("SPANLAKE_INGEST_MAX_SPANS", "5")
        .output()
        .unwrap();
    assert!(shown.status.success());
    let line = |start: &str| {
        let line = text(&shown.stdout).lines().find(|line| line.starts_with(start)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("listen"), "listen = \"127.0.0.1:9411\" # default");
    assert_eq!(line("max_depth"), "max_depth = 20 # spanlake.toml");
    assert_eq!(line("max_spans"), "max_spans = 5 # SPANLAKE_INGEST_MAX_SPANS");
    assert_eq!(line("interval"), "interval = \"5s\" # --flush-interval");
}

#[test]
fn what_config_prints_can_be_kept_as_the_settings_file() {
    let dir = tempfile::tempdir().unwrap();
    let first = output(&["config", "--projects", "isolated"], dir.path());
    std::fs::write(dir.path().join("kept.toml"), &first.stdout).unwrap();
    let second = output(&["config", "--config", "kept.toml"], dir.path());
    assert!(second.status.success(), "{}", text(&second.stderr));
    let values = |bytes: &[u8]| -> Vec<String> {
        text(bytes).lines().map(|line| line.split("  #").next().unwrap_or_default().trim_end().to_owned()).collect()
    };
    assert_eq!(values(&first.stdout), values(&second.stdout));
}

#[test]
fn settings_that_cannot_be_used_end_the_program_with_2_before_anything_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    for (args, said) in [
        (
            &["serve", "--ingest-max-spans", "many"][..],
            "spanlake: ingest.max_spans = \"many\" (from --ingest-max-spans): expected a whole number from 1 to 100000000\n",
        ),
        (&["serve", "--config", "absent.toml"][..], "spanlake: cannot read the settings file absent.toml: "),
        (&["serve", "--no-such-flag"][..], "error: unexpected argument '--no-such-flag' found"),
        (&["no-such-command"][..], "error: unrecognized subcommand 'no-such-command'"),
        (&[][..], "A distributed tracing backend"),
    ] {
        let refused = output(args, dir.path());
        assert_eq!(refused.status.code(), Some(2), "{args:?}");
        assert!(text(&refused.stderr).starts_with(said), "{args:?}: {}", text(&refused.stderr));
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_misspelt_key_in_the_file_is_named_with_the_nearest_known_one() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("spanlake.toml"), "lisen = \"127.0.0.1:0\"\n").unwrap();
    let refused = output(&["serve"], dir.path());
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(
        text(&refused.stderr),
        "spanlake: spanlake.toml: unknown setting \"lisen\"; the nearest known one is \"listen\" \
         (`spanlake config` lists them all)\n"
    );
}

#[test]
fn a_settings_file_that_cannot_be_read_does_not_print_its_secrets() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("spanlake.toml"), "[auth]\nroot_password = \"Hunter2-pw\" oops\n").unwrap();
    for command in ["serve", "config"] {
        let refused = output(&[command], dir.path());
        assert_eq!(refused.status.code(), Some(2), "{command}");
        let said = text(&refused.stderr);
        assert!(said.starts_with("spanlake: spanlake.toml, line 2, column 30: this is not TOML: "), "{said}");
        assert!(!said.contains("Hunter2"), "{said}");
    }
}

#[test]
fn a_list_of_secrets_that_holds_none_ends_the_program_and_opens_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for (flag, key) in [("--auth-tokens", "auth.tokens"), ("--auth-credentials", "auth.credentials")] {
        let refused = output(&["serve", flag, " , "], dir.path());
        assert_eq!(refused.status.code(), Some(2), "{flag}");
        let start = format!("spanlake: {key} = \"********\" (from {flag}): expected ");
        assert!(text(&refused.stderr).starts_with(&start), "{}", text(&refused.stderr));
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_variable_that_is_no_settings_is_told_of_with_the_nearest_known_one() {
    let dir = tempfile::tempdir().unwrap();
    // Where a file is in the place of the folder the program ends by itself.
    std::fs::write(dir.path().join("file"), "").unwrap();
    let mut command = spanlake(&["serve", "--listen", "127.0.0.1:0", "--data", "file"], dir.path());
    command.env("SPANLAKE_AUTH_TOKEN", "hunter2-hunter2").env("SPANLAKE_PYTHON", "python3");
    let log = String::from_utf8(command.output().unwrap().stderr).unwrap();
    let said = "the variable \"SPANLAKE_AUTH_TOKEN\" is not heeded: it is no setting's; the nearest known one is \
                SPANLAKE_AUTH_TOKENS\n";
    assert_eq!((log.matches("is not heeded").count(), log.matches(said).count()), (1, 1), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn help_shows_every_setting_with_variable_and_default_and_leaves_with_0() {
    let dir = tempfile::tempdir().unwrap();
    let help = output(&["serve", "--help"], dir.path());
    assert!(help.status.success());
    for said in ["--listen <HOST:PORT>", "SPANLAKE_LISTEN", "127.0.0.1:9411", "Examples:", "--ats-miss-is-error"] {
        assert!(text(&help.stdout).contains(said), "{said}");
    }
    let version = output(&["--version"], dir.path());
    assert_eq!(text(&version.stdout), concat!("spanlake ", env!("CARGO_PKG_VERSION"), "\n"));
}
