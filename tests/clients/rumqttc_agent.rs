//! rumqttc driven by lines: one JSON command a line in, one JSON event a line out.
//!
//! What lives here: a client that we did not write, in MQTT 3.1.1 and 5.0. What
//! does not: what it is asked to do (`conversation.py` holds the protocol).
//! Invariant: a handle never connects a second time by itself.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)] // A program of its own: its tasks end with it.

use std::collections::HashMap;
use std::io::BufRead;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

enum Sender {
    V4(rumqttc::AsyncClient),
    V5(rumqttc::v5::AsyncClient),
}

struct Handle {
    sender: Sender,
    task: JoinHandle<()>,
}

fn tell(name: &str, event: &str, more: Value) {
    let mut line = json!({ "as": name, "event": event });
    line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    println!("{line}");
}

fn file(value: &Value) -> Vec<u8> {
    std::fs::read(value.as_str().unwrap()).unwrap()
}

fn transport(tls: &Value) -> rumqttc::Transport {
    let client_auth = tls["cert"].is_string().then(|| (file(&tls["cert"]), file(&tls["key"])));
    rumqttc::Transport::tls(file(&tls["ca"]), client_auth, None)
}

fn host(o: &Value) -> &'static str {
    if o["tls"].is_object() { "localhost" } else { "127.0.0.1" }
}

/// The loop of both versions: their types differ in name only.
macro_rules! drive {
    ($events:ident, $name:ident, $event:path, $packet:path, $refused:path, $code:expr) => {
        tokio::spawn(async move {
            use $event as Event;
            use $packet as Packet;
            let mut open = false;
            loop {
                match $events.poll().await {
                    Ok(Event::Incoming(Packet::ConnAck(ack))) => {
                        open = true;
                        tell(&$name, "connected", json!({ "session": ack.session_present }));
                    }
                    Ok(Event::Incoming(Packet::SubAck(ack))) => {
                        tell(&$name, "subscribed", json!({ "granted": format!("{:?}", ack.return_codes) }));
                    }
                    Ok(Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_)))
                    | Ok(Event::Outgoing(rumqttc::Outgoing::Publish(0))) => tell(&$name, "published", json!({})),
                    Ok(Event::Incoming(Packet::Publish(m))) => {
                        let topic = String::from_utf8_lossy(m.topic.as_ref()).into_owned();
                        let payload = String::from_utf8_lossy(&m.payload).into_owned();
                        tell(&$name, "message", json!({ "topic": topic, "payload": payload, "qos": m.qos as u8, "retain": m.retain }));
                    }
                    Ok(_) => {}
                    Err($refused(code)) => {
                        let number: u8 = $code(code);
                        return tell(&$name, "refused", json!({ "code": number, "why": format!("{code:?}") }));
                    }
                    Err(error) => {
                        let event = if open { "closed" } else { "refused" };
                        return tell(&$name, event, json!({ "code": null, "why": error.to_string() }));
                    }
                }
            }
        })
    };
}

fn connect_v4(o: &Value, name: String) -> Handle {
    let mut options = rumqttc::MqttOptions::new(o["id"].as_str().unwrap(), host(o), o["port"].as_u64().unwrap() as u16);
    options.set_keep_alive(Duration::from_secs(30)).set_clean_session(o["clean"].as_bool().unwrap());
    if o["tls"].is_object() {
        options.set_transport(transport(&o["tls"]));
    }
    if let Some(topic) = o["will"]["topic"].as_str() {
        let qos = rumqttc::qos(o["will"]["qos"].as_u64().unwrap() as u8).unwrap();
        options.set_last_will(rumqttc::LastWill::new(topic, o["will"]["payload"].as_str().unwrap(), qos, false));
    }
    let (client, mut events) = rumqttc::AsyncClient::new(options, 64);
    let code = |code: rumqttc::ConnectReturnCode| code as u8;
    let task = drive!(events, name, rumqttc::Event, rumqttc::Packet, rumqttc::ConnectionError::ConnectionRefused, code);
    Handle { sender: Sender::V4(client), task }
}

fn connect_v5(o: &Value, name: String) -> Handle {
    use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, LastWill, Packet};
    let mut options =
        rumqttc::v5::MqttOptions::new(o["id"].as_str().unwrap(), host(o), o["port"].as_u64().unwrap() as u16);
    options.set_keep_alive(Duration::from_secs(30)).set_clean_start(o["clean"].as_bool().unwrap());
    options.set_session_expiry_interval(o["expiry"].as_u64().map(|seconds| seconds as u32));
    if o["tls"].is_object() {
        options.set_transport(transport(&o["tls"]));
    }
    if let Some(topic) = o["will"]["topic"].as_str() {
        let qos = rumqttc::v5::mqttbytes::qos(o["will"]["qos"].as_u64().unwrap() as u8).unwrap();
        let payload = o["will"]["payload"].as_str().unwrap().to_owned();
        options.set_last_will(LastWill::new(topic, payload, qos, false, None));
    }
    let (client, mut events) = rumqttc::v5::AsyncClient::new(options, 64);
    let code = |code| match code {
        ConnectReturnCode::Success => 0,
        ConnectReturnCode::UnsupportedProtocolVersion => 0x84,
        ConnectReturnCode::ClientIdentifierNotValid => 0x85,
        ConnectReturnCode::BadUserNamePassword => 0x86,
        ConnectReturnCode::NotAuthorized => 0x87,
        _ => 0x80,
    };
    let task = drive!(events, name, rumqttc::v5::Event, Packet, rumqttc::v5::ConnectionError::ConnectionRefused, code);
    Handle { sender: Sender::V5(client), task }
}

async fn subscribe(handle: &Handle, o: &Value) {
    let qos = o["qos"].as_u64().unwrap() as u8;
    let filters = o["filters"].as_array().unwrap().iter().map(|filter| filter.as_str().unwrap().to_owned());
    match &handle.sender {
        Sender::V4(client) => {
            let qos = rumqttc::qos(qos).unwrap();
            client.subscribe_many(filters.map(|path| rumqttc::SubscribeFilter { path, qos })).await.unwrap();
        }
        Sender::V5(client) => {
            let qos = rumqttc::v5::mqttbytes::qos(qos).unwrap();
            let many = filters.map(|path| rumqttc::v5::mqttbytes::v5::Filter { path, qos, ..Default::default() });
            client.subscribe_many(many).await.unwrap();
        }
    }
}

async fn publish(handle: &Handle, o: &Value) {
    let (topic, payload) = (o["topic"].as_str().unwrap(), o["payload"].as_str().unwrap().to_owned());
    let (qos, retain) = (o["qos"].as_u64().unwrap() as u8, o["retain"].as_bool().unwrap());
    match &handle.sender {
        Sender::V4(client) => client.publish(topic, rumqttc::qos(qos).unwrap(), retain, payload).await.unwrap(),
        Sender::V5(client) => {
            client.publish(topic, rumqttc::v5::mqttbytes::qos(qos).unwrap(), retain, payload).await.unwrap();
        }
    }
}

async fn leave(handle: Handle) {
    match &handle.sender {
        Sender::V4(client) => client.disconnect().await.unwrap(),
        Sender::V5(client) => client.disconnect().await.unwrap(),
    }
    // The loop writes DISCONNECT and then meets the end of the stream.
    let _ = tokio::time::timeout(Duration::from_secs(2), handle.task).await;
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut handles: HashMap<String, Handle> = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let o: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let name = o["as"].as_str().unwrap().to_owned();
        runtime.block_on(async {
            match o["do"].as_str().unwrap() {
                "connect" => {
                    let handle =
                        if o["version"] == 5 { connect_v5(&o, name.clone()) } else { connect_v4(&o, name.clone()) };
                    handles.insert(name, handle);
                }
                "subscribe" => subscribe(&handles[&name], &o).await,
                "publish" => publish(&handles[&name], &o).await,
                "disconnect" => {
                    leave(handles.remove(&name).unwrap()).await;
                    tell(&name, "gone", json!({}));
                }
                _ => {
                    handles.remove(&name).unwrap().task.abort();
                    tell(&name, "gone", json!({}));
                }
            }
        });
    }
}
