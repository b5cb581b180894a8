//! Counts what a client leaves behind. It has a process of its own, because the sockets of other tests would count,
//! too.
#![cfg(target_os = "linux")]

use integration::{Stage, TOKEN};
use sipwake::Transport;

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("Linux has it").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_lives_leave_no_file_and_no_task_behind() {
    let handle = tokio::runtime::Handle::current();
    let mut baseline = None;
    let stages = [Stage::new("mizutech", Transport::Udp).await, Stage::new("mizutech", Transport::Tcp).await];
    for stage in &stages {
        stage.registered_app(TOKEN).await.0.client.shutdown().await;
    }
    for life in 0..1000 {
        let stage = &stages[life % 2];
        let mut app = stage.app().await;
        // Most lives are short. Some are long enough to register, or end during it.
        match life % 10 {
            0 | 1 => drop(app.register().await),
            2 | 3 => app.client.register(&app.account).await.expect("the account is there"),
            _ => {}
        }
        app.client.shutdown().await;
        if life == 100 {
            baseline = Some((open_files(), handle.metrics().num_alive_tasks()));
        }
    }
    let (files, tasks) = baseline.expect("there were more than a hundred lives");
    // The server's end of a connection closes a moment later, so a few may still be open.
    let settled = async || {
        for _ in 0..2400 {
            if open_files() <= files + 8 && handle.metrics().num_alive_tasks() <= tasks + 8 {
                return true;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        false
    };
    assert!(
        settled().await,
        "{} files, {files} before; {} tasks, {tasks} before",
        open_files(),
        handle.metrics().num_alive_tasks()
    );
}
