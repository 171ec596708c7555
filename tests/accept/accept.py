#!/usr/bin/python3
"""make accept: each promise at its full count: what was asked, what was found, pass or fail.
accept.py [NAME…] runs the lines whose name holds one of the words; --list names them."""
import os
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", "e2e"), os.path.join(ROOT, "tests", "bench")]
import harness  # noqa: E402
from harness import Failure, expect  # noqa: E402


def e2e(name, flavour="plain"):
    def run():
        harness.use_flavour(flavour)
        try:
            found = [f"{n.split('.')[-1]}: {t(full=True)}" for n, t in harness.collect([name]) if n.endswith(name)]
        finally:
            harness.use_flavour("plain")
        expect(found, f"no test is named {name}")
        return "; ".join(found)
    return run


def unit(name, flavour="plain", **env):
    def run():
        binary = os.path.join(ROOT, "build", flavour, "tests/unit", name)
        p = subprocess.run([binary], cwd=ROOT, env=dict(os.environ, STOKER_FULL="1", **env), stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=5400)
        out = p.stdout.decode("utf-8", "replace")
        figures = [l.strip() for l in out.splitlines() if l.startswith("# ")]
        expect(p.returncode == 0, f"{name} failed:\n{out[-2000:]}")
        return f"{name}: passed" + (": " + "; ".join(f[2:] for f in figures) if figures else "")
    return run


def bench():
    import postfix
    stoker, other, direct, cpu = postfix.compare()
    ratio = stoker / other
    text = (f"Stoker {stoker:.0f}/s, Postfix {other:.0f}/s: {ratio:.1f} times; {stoker / direct * 100:.0f} % of direct; CPU a message "
            + ", ".join(f"{k} {v:.0f} us" for k, v in cpu.items() if v >= 0.5))
    expect(ratio >= 8, text)
    return text


def every_directive():
    import directives
    return directives.line()


def classified():
    import classify
    return classify.line()


LINES = [
    ("mail", "10,000 messages arrive byte for byte, each once, through Postfix and NSD", [
        e2e("smtp_source_and_swaks_mail_arrives_once"), e2e("varied_mail_arrives_byte_for_byte"), e2e("bounces_come_back_as_dsn")]),
    ("large", "20 of 40 MB at once while small ones flow", [e2e("large_mail_flows_beside_small")]),
    ("kill", "kill -9 at 200 random moments: nothing lost, doubles only as designed", [e2e("kill_9_loses_nothing")]),
    ("replay", "crash replayer: every prefix up to 300 operations, 10,000 random ones", [unit("spool/test_crash")]),
    ("limits", "100/s for 60 s: 5,880 to 6,010 attempts, at most 103 in a sliding second; stall, provider, domains, pool", [
        e2e("one_lane_keeps_its_rate"), e2e("a_stalled_receiver_is_not_made_up_for"), e2e("four_lanes_share_a_provider_rate"),
        e2e("two_domains_keep_their_own_limits_in_one_lane"), e2e("a_pool_keeps_its_limit_at_each_virtual_mta"),
        e2e("never_more_connections_than_allowed")]),
    ("tls", "swaks over TLS with AUTH PLAIN and LOGIN; wrong passwords; STARTTLS injection both ways; expired, self-signed, wrong-name "
            "certificates under each client setting, with s_server and Postfix; mail that requires TLS never rides a plaintext session; "
            "why tls", [
        e2e("mail_comes_in_by_tls"), e2e("logins_come_in"), e2e("nothing_glued_to_starttls_is_read"), e2e("certificates_under_each_setting"),
        e2e("openssl_and_postfix_as_peers"), e2e("required_mail_never_goes_in_plain"), e2e("settings_of_the_client"),
        e2e("login_to_a_smarthost"), unit("net/test_tls"), unit("net/test_tls", "asan"), unit("smtp/test_guard")]),
    ("pause", "pause, rate, disable: no MAIL later than 100 ms after the answer in 95 of 100 trials, 300 ms always", [
        e2e("pause_rate_and_disable_hold_at_once"), e2e("a_lower_rate_holds_at_once"), e2e("overrides_survive_a_restart_and_undo_ends_them")]),
    ("fairness", "500,000 wait at 20/s: another sender within 1 s, within two tokens at 1/s; postgrey at the second attempt", [
        e2e("a_small_sender_is_not_starved"), e2e("greylisted_mail_arrives_at_its_second_attempt")]),
    ("reload", "10,000 [domain] sections under 300 ms off the loops, errors change nothing", [
        e2e("ten_thousand_sections_reload_under_load"), e2e("a_file_with_errors_changes_nothing_and_lists_them_all")]),
    ("smuggling", "no variant ends DATA or reaches the wire; framing independent of chunks; outbound property", [
        e2e("no_other_line_end_ends_data"), unit("smtp/test_framing")]),
    ("reports", "own fixtures (60 bounces, 25 reports, 30 that are neither): kind right for all, recipient for 97 %, nothing that is neither "
                "suppresses; 100,000 hostile or broken ones under ASan in bounded time and memory", [
        unit("feedback/test_report"), unit("feedback/test_report", "asan")]),
    ("console", "the console costs nothing; an act never hits another row", [e2e("console_costs_nothing"), e2e("an_act_never_hits_another_row")]),
    ("scale", "100,000 domains and 1,000,000 recipients: memory, frame, restart", [
        e2e("a_million_recipients_in_a_hundred_thousand_domains")]),
    ("why", "each why code from its real cause", [e2e("rate_connections_total_and_flight"), e2e("dns_connect_and_no_source"),
                                                   e2e("paused_resting_and_retry_wait"), e2e("a_full_small_file_system"), e2e("idle_and_draining"), e2e("why.ready"),
                                                   e2e("loading_after_a_kill"),
                                                   e2e("loading_with_tiny_mailboxes_is_quick"),
                                                   e2e("memory_is_full_of_bodies_on_their_way"), e2e("outcomes_can_not_be_recorded"),
                                                   e2e("backoff"), e2e("why.dkim"), e2e("why.warm_up"), unit("sched/test_why")]),
    ("warmup", "30 days against receivers with 0.5 %, 2 % and 8 % bounces: in no sliding hour more than the cap; steps when CONFIG.md says and "
               "not otherwise; a restart in the middle changes nothing", [unit("sched/test_warmup"), e2e("why.warm_up")]),
    ("adaptive", "a receiver that tolerates 40/s: a lane that starts at 200/s stays between 30 and 42/s, at most 2 % answered 421", [
        unit("sched/test_adaptive"), unit("sched/test_backoff")]),
    ("classify", "replies: category for 93 %, hard or soft for 97 %, no 4xx hard, the lane's effect for 93 %; median under 20 us", [
        classified, unit("classify/test_bounces"), unit("classify/test_bounces", "asan"), e2e("bounces_come_back_as_dsn")]),
    ("suppression", "ten million addresses: look-up under 5 us (median, hits and misses); a hard bounce is refused next, also after kill -9; "
                    "ten million imported and exported without holding a loop", [
        unit("spool/test_suppression"), e2e("a_hard_bounce_is_refused_next"), e2e("at_sending_it_bounces"), e2e("by_hand_and_by_file")]),
    ("inbound", "forged reports without a valid token: counted, nothing suppressed; late bounces and complaints become events, each once, also over kill "
                "-9", [e2e("forgeries_and_automatic_mail_change_nothing_and_people_are_forwarded"),
                        e2e("what_bounces_after_it_was_accepted_is_known_at_once"), e2e("reports_survive_a_kill"),
                        e2e("what_cannot_be_kept_holds_up_no_report")]),
    ("feedback", "bounce and complaint rates true to the receiver's own log, over a restart; [alarm] thresholds; a job is held at one", [
        e2e("numbers_rates_and_a_held_job"), e2e("without_hold_job_at_nothing_is_held")]),
    ("circle", "sent to Postfix, which accepts and bounces later: within a second of its arrival suppressed, rb, webhook, console's row; then refused 550 "
               "5.1.1, or bounced as configured", [e2e("a_late_bounce_is_known_everywhere_within_a_second")]),
    ("webhook", "the webhook's far end down for an hour of virtual time with a million events: none lost, order kept per recipient, mail "
                "unaffected; killed with -9 in the middle: repeats at most a second's worth, same ids", [
        unit("report/test_webhook"), e2e("a_far_end_that_fails_or_is_dead_holds_no_mail"), e2e("a_kill_repeats_at_most_a_second"),
        e2e("events_arrive_signed_in_order_and_reloads_are_followed"), e2e("https_is_verified")]),
    ("hostile", "peer text appears escaped in console, log and CLI", [e2e("hostile_replies_appear_escaped")]),
    ("mailboxes", "all mailboxes at capacity 2, 60 s under load, under TSan", [e2e("mailboxes_at_capacity_two_do_not_deadlock", "tsan")]),
    ("install", "make install into a root of its own; by its unit's words as user stoker on port 25, no way back to root", [
        e2e("installed_it_runs_as_its_unit_says")]),
    ("dkim", "signatures of 10,000 varied messages verify with dkimpy and Mail::DKIM; RSA-2048 at 85 % of plain EVP; 100,000 dual signatures leave memory flat",
     [e2e("varied_messages_verify_with_dkimpy_and_mail_dkim"), e2e("large_mail_is_signed_and_keys_follow_the_from_domain"),
      e2e("what_cannot_be_signed_waits_or_goes_unsigned_with_an_alarm"), e2e("published_records_are_compared_with_the_keys"), e2e("a_message_says_who_will_sign_it"),
      unit("sign/test_record"),
      unit("sign/test_sign", STOKER_SIGN_RATE="20000", STOKER_SIGN_DUAL="100000")]),
    ("directives", "a table of every directive with its test, none empty; all mutations caught", [every_directive]),
    ("import", "the text this project started from: pasted, imported, checked, run under exactly its limits", [
        e2e("the_text_this_project_started_from"), unit("conf/test_pmta"), unit("conf/test_pmta", "asan"),
        unit("conf/test_pmta_more")]),
    ("pickup", "10,000 files renamed in at once, before and while the server runs, each once; slowly written, unreadable, empty, binary, symlinks; "
               "the directory gone and back", [
        e2e("files_become_messages_each_once"), e2e("only_whole_files_are_taken"), e2e("what_is_no_message_moves_aside"),
        e2e("a_file_that_cannot_be_read_moves_aside"), e2e("a_directory_may_go_and_come_back")]),
    ("path", "import, check, run, pause a domain, edit, reload --dry-run, reload, go on", [e2e("an_operators_path")]),
    ("http", "in Chromium the page shows the demo's moving numbers at both sizes; Prometheus reads the metrics; each endpoint refuses what it must", [
        e2e("the_page_moves_in_chromium"), e2e("metrics_pass_a_prometheus_parser"), e2e("lists_are_those_of_the_command_line"),
        e2e("each_endpoint_refuses_what_it_must"), e2e("commands_need_token_role_and_yes"), e2e("large_slow_and_many_clients_are_bounded"),
        e2e("a_reload_opens_moves_and_closes_it")]),
    ("throughput", "at least 8 times Postfix, durable before 250, five interleaved rounds", [bench]),
]


def main():
    harness.own_network()
    words = sys.argv[1:]
    if "--list" in words:
        for name, asked, _ in LINES:
            print(f"{name}: {asked}")
        return 0
    passed = failed = 0
    for name, asked, checks in LINES:
        if words and not any(w in name for w in words):
            continue
        print(f"\n{name}: {asked}", flush=True)
        for check in checks:
            started = time.monotonic()
            try:
                found, ok = check(), True
            except Exception as e:
                found, ok = str(e) or repr(e), False
                harness.show_failure(e)
            passed += ok
            failed += not ok
            print(f"  {'pass' if ok else 'FAIL'}  {found}  ({time.monotonic() - started:.0f} s)", flush=True)
    print(f"\n{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
