/* Paho C (MQTTAsync) driven by lines: one JSON command a line in, one JSON event a line out (the protocol stands in
 * conversation.py). Every connection is a process of its own: the library says DISCONNECT whenever it closes a socket,
 * so that only the end of its process looks like a cut. */

#include <MQTTAsync.h>
#include <cjson/cJSON.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LONGEST_LINE = 64 * 1024, MOST_FILTERS = 16 };

static const char *name;     /* of this process's connection */
static MQTTAsync client;
static int version;
static atomic_bool is_open, is_told; /* CONNACK 0 came; its end was told */

/* ---- what is told ---- */

static cJSON *event(const char *kind) {
  cJSON *told = cJSON_CreateObject();
  cJSON_AddStringToObject(told, "as", name);
  cJSON_AddStringToObject(told, "event", kind);
  return told;
}

/* One write a line: all processes share the output. */
static void tell(cJSON *told) {
  char *text = cJSON_PrintUnformatted(told);
  size_t length = strlen(text);
  text[length] = '\n';
  if (write(STDOUT_FILENO, text, length + 1) < 0) _exit(1);
  cJSON_free(text);
  cJSON_Delete(told);
}

static void refused(int code, const char *why) {
  if (atomic_exchange(&is_told, true)) return;
  cJSON *told = event("refused");
  if (code > 0) cJSON_AddNumberToObject(told, "code", code);
  else cJSON_AddNullToObject(told, "code");
  cJSON_AddStringToObject(told, "why", why ? why : "");
  tell(told);
}

static void closed(void) {
  if (atomic_load(&is_open) && !atomic_exchange(&is_told, true)) tell(event("closed"));
}

static void connected(int session) {
  atomic_store(&is_open, true);
  cJSON *told = event("connected");
  cJSON_AddBoolToObject(told, "session", session);
  tell(told);
}

/* ---- callbacks; version 5.0 has its own ---- */

static void on_connected(void *c, MQTTAsync_successData *data) { (void)c; connected(data->alt.connect.sessionPresent); }
static void on_connected5(void *c, MQTTAsync_successData5 *data) { (void)c; connected(data->alt.connect.sessionPresent); }
static void on_refused(void *c, MQTTAsync_failureData *data) { (void)c; refused(data->code, data->message); }
static void on_refused5(void *c, MQTTAsync_failureData5 *data) {
  (void)c;
  refused(data->reasonCode ? (int)data->reasonCode : data->code, data->message);
}
static void on_done(void *kind, MQTTAsync_successData *data) { (void)data; tell(event(kind)); }
static void on_done5(void *kind, MQTTAsync_successData5 *data) { (void)data; tell(event(kind)); }
static void on_failed(void *kind, MQTTAsync_failureData *data) { fprintf(stderr, "not %s: code %d\n", (char *)kind, data->code); }
static void on_failed5(void *kind, MQTTAsync_failureData5 *data) { fprintf(stderr, "not %s: reason %d\n", (char *)kind, data->reasonCode); }
static void on_lost(void *c, char *cause) { (void)c; (void)cause; closed(); }
static void on_disconnect5(void *c, MQTTProperties *properties, enum MQTTReasonCodes reason) { (void)c; (void)properties; (void)reason; closed(); }
static void on_gone(void *c, MQTTAsync_successData *data) { (void)c; (void)data; tell(event("gone")); _exit(0); }
static void on_gone5(void *c, MQTTAsync_successData5 *data) { (void)c; (void)data; tell(event("gone")); _exit(0); }

static int on_message(void *c, char *topic, int length, MQTTAsync_message *message) {
  (void)c; (void)length;
  char *payload = strndup(message->payload, (size_t)message->payloadlen);
  cJSON *told = event("message");
  cJSON_AddStringToObject(told, "topic", topic);
  cJSON_AddStringToObject(told, "payload", payload);
  cJSON_AddNumberToObject(told, "qos", message->qos);
  cJSON_AddBoolToObject(told, "retain", message->retained);
  tell(told);
  free(payload);
  MQTTAsync_freeMessage(&message);
  MQTTAsync_free(topic);
  return 1;
}

/* Tells `kind` when the step is through. */
static MQTTAsync_responseOptions then(char *kind) {
  MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;
  options.context = kind;
  if (version == 5) options.onSuccess5 = on_done5, options.onFailure5 = on_failed5;
  else options.onSuccess = on_done, options.onFailure = on_failed;
  return options;
}

/* ---- commands ---- */

static const cJSON *at(const cJSON *object, const char *key) { return cJSON_GetObjectItemCaseSensitive(object, key); }
static const char *string_at(const cJSON *object, const char *key) { return cJSON_GetStringValue(at(object, key)); }
static int number_at(const cJSON *object, const char *key) { return (int)cJSON_GetNumberValue(at(object, key)); }

static void do_connect(const cJSON *o) {
  static MQTTAsync_SSLOptions tls = MQTTAsync_SSLOptions_initializer;
  static MQTTAsync_willOptions will = MQTTAsync_willOptions_initializer;
  static MQTTProperties properties = MQTTProperties_initializer;
  const cJSON *secure = at(o, "tls"), *last = at(o, "will");
  int clean = cJSON_IsTrue(at(o, "clean"));
  char url[128];
  version = number_at(o, "version");

  MQTTAsync_createOptions with = MQTTAsync_createOptions_initializer;
  MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
  if (version == 5) {
    MQTTAsync_connectOptions newer = MQTTAsync_connectOptions_initializer5;
    options = newer;
    options.cleanstart = clean, options.onSuccess5 = on_connected5, options.onFailure5 = on_refused5;
    if (cJSON_IsNumber(at(o, "expiry"))) {
      MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL};
      expiry.value.integer4 = (unsigned)number_at(o, "expiry");
      MQTTProperties_add(&properties, &expiry);
      options.connectProperties = &properties;
    }
  } else {
    options.cleansession = clean, options.onSuccess = on_connected, options.onFailure = on_refused;
  }
  with.MQTTVersion = options.MQTTVersion = version;
  options.keepAliveInterval = 30;
  if (secure) {
    tls.trustStore = string_at(secure, "ca");
    tls.keyStore = string_at(secure, "cert");
    tls.privateKey = string_at(secure, "key");
    tls.verify = 1, tls.disableDefaultTrustStore = 1;
    options.ssl = &tls;
  }
  if (cJSON_IsObject(last)) {
    will.topicName = string_at(last, "topic");
    will.message = string_at(last, "payload");
    will.qos = number_at(last, "qos");
    options.will = &will;
  }
  int web = cJSON_IsTrue(at(o, "web"));
  const char *scheme = web ? (secure ? "wss" : "ws") : (secure ? "ssl" : "tcp");
  snprintf(url, sizeof url, "%s://%s:%d%s", scheme, secure ? "localhost" : "127.0.0.1", number_at(o, "port"), web ? "/mqtt" : "");
  int code = MQTTAsync_createWithOptions(&client, url, string_at(o, "id"), MQTTCLIENT_PERSISTENCE_NONE, NULL, &with);
  if (code == MQTTASYNC_SUCCESS) code = MQTTAsync_setCallbacks(client, NULL, on_lost, on_message, NULL);
  if (code == MQTTASYNC_SUCCESS && version == 5) code = MQTTAsync_setDisconnected(client, NULL, on_disconnect5);
  if (code == MQTTASYNC_SUCCESS) code = MQTTAsync_connect(client, &options);
  if (code != MQTTASYNC_SUCCESS) refused(0, MQTTAsync_strerror(code));
}

static void do_subscribe(const cJSON *o) {
  char *filters[MOST_FILTERS];
  int qos[MOST_FILTERS], count = 0;
  const cJSON *filter;
  cJSON_ArrayForEach(filter, at(o, "filters")) {
    if (count == MOST_FILTERS) break;
    filters[count] = cJSON_GetStringValue(filter);
    qos[count++] = number_at(o, "qos");
  }
  MQTTAsync_responseOptions options = then("subscribed");
  int code = MQTTAsync_subscribeMany(client, count, filters, qos, &options);
  if (code != MQTTASYNC_SUCCESS) fprintf(stderr, "SUBSCRIBE: %s\n", MQTTAsync_strerror(code));
}

static void do_publish(const cJSON *o) {
  const char *payload = string_at(o, "payload");
  MQTTAsync_responseOptions options = then("published");
  int code = MQTTAsync_send(client, string_at(o, "topic"), (int)strlen(payload), payload, number_at(o, "qos"),
                            cJSON_IsTrue(at(o, "retain")), &options);
  if (code != MQTTASYNC_SUCCESS) fprintf(stderr, "PUBLISH: %s\n", MQTTAsync_strerror(code));
}

static void do_disconnect(void) {
  MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer;
  atomic_store(&is_told, true);
  if (version == 5) options.onSuccess5 = on_gone5;
  else options.onSuccess = on_gone;
  options.timeout = 1000;
  if (MQTTAsync_disconnect(client, &options) != MQTTASYNC_SUCCESS) on_gone(NULL, NULL);
}

/* The life of one connection's process. What a command names must outlive it, so that nothing is given back. */
static int converse(FILE *commands, char *line) {
  MQTTAsync_init_options with = MQTTAsync_init_options_initializer;
  with.do_openssl_init = 1;
  MQTTAsync_global_init(&with);
  while (fgets(line, LONGEST_LINE, commands)) {
    const cJSON *o = cJSON_Parse(line);
    const char *act = string_at(o, "do");
    if (!name) name = string_at(o, "as");
    if (!strcmp(act, "connect")) do_connect(o);
    else if (!strcmp(act, "subscribe")) do_subscribe(o);
    else if (!strcmp(act, "publish")) do_publish(o);
    else do_disconnect();
  }
  return 0;
}

/* ---- the first process hands the lines on ---- */

struct child {
  char *name;
  pid_t pid;
  FILE *commands;
  struct child *older;
};

static struct child *born(const char *as, struct child *older, char *line) {
  int ends[2];
  struct child *child = malloc(sizeof *child);
  if (!child || pipe(ends)) exit(1);
  pid_t pid = fork();
  if (pid < 0) exit(1);
  if (!pid) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(ends[1]);
    _exit(converse(fdopen(ends[0], "r"), line));
  }
  close(ends[0]);
  *child = (struct child){strdup(as), pid, fdopen(ends[1], "w"), older};
  return child;
}

int main(void) {
  static char line[LONGEST_LINE];
  struct child *newest = NULL;
  signal(SIGPIPE, SIG_IGN);
  while (fgets(line, sizeof line, stdin)) {
    cJSON *o = cJSON_Parse(line);
    const char *as = string_at(o, "as"), *act = string_at(o, "do");
    char *copy = strdup(line);
    if (!strcmp(act, "connect")) newest = born(as, newest, line);
    struct child *child = newest;
    while (child && strcmp(child->name, as)) child = child->older;
    if (child && !strcmp(act, "kill")) {
      kill(child->pid, SIGKILL);
      waitpid(child->pid, NULL, 0);
      name = as;
      tell(event("gone"));
      name = NULL; /* it goes with the line, and the next process would inherit it */
    } else if (child) {
      fputs(copy, child->commands);
      fflush(child->commands);
    }
    free(copy);
    cJSON_Delete(o);
  }
  for (struct child *child = newest; child; child = child->older) kill(child->pid, SIGKILL);
  return 0;
}
