/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_API_HANDLERS_H
#define CORE_API_HANDLERS_H

/*
 * The handlers that the route table names.  Each runs on its request's fiber,
 * may suspend, decodes, calls the domain and answers exactly once.
 */

#include "core/loop/loop.h"

struct http_req;

/* auth_api.c */
SUSPENDS void auth_signup(struct http_req *req);
SUSPENDS void auth_login(struct http_req *req);
SUSPENDS void auth_refresh(struct http_req *req);
SUSPENDS void auth_logout(struct http_req *req);
SUSPENDS void auth_me(struct http_req *req);
SUSPENDS void auth_me_change(struct http_req *req);

/* agents_api.c */
SUSPENDS void agents_list(struct http_req *req);
SUSPENDS void agents_create(struct http_req *req);
SUSPENDS void agent_read(struct http_req *req);
SUSPENDS void agent_replace(struct http_req *req);
SUSPENDS void agent_change(struct http_req *req);
SUSPENDS void agent_remove(struct http_req *req);

/* ambient_api.c */
SUSPENDS void agent_ambient_test(struct http_req *req);

/* schedules_api.c */
SUSPENDS void schedules_list(struct http_req *req);
SUSPENDS void schedules_create(struct http_req *req);
SUSPENDS void schedule_read(struct http_req *req);
SUSPENDS void schedule_replace(struct http_req *req);
SUSPENDS void schedule_patch(struct http_req *req);
SUSPENDS void schedule_remove(struct http_req *req);
SUSPENDS void schedule_pause(struct http_req *req);
SUSPENDS void schedule_resume(struct http_req *req);
SUSPENDS void schedule_history(struct http_req *req);

/* models_api.c, toolkits_api.c */
void models_list(struct http_req *req);
void toolkits_list(struct http_req *req);
void toolkit_read(struct http_req *req);
void toolkit_tools(struct http_req *req);

/* branches.c, chat.c, events.c, runs.c, ws.c */
SUSPENDS void chat_sessions_list(struct http_req *req);
SUSPENDS void chat_sessions_create(struct http_req *req);
SUSPENDS void chat_session_get(struct http_req *req);
SUSPENDS void chat_message_post(struct http_req *req);
SUSPENDS void chat_interactive_stream(struct http_req *req);
SUSPENDS void chat_session_events(struct http_req *req);
SUSPENDS void chat_branches_get(struct http_req *req);
SUSPENDS void chat_leaf_put(struct http_req *req);
SUSPENDS void chat_history_get(struct http_req *req);
SUSPENDS void chat_history_fork(struct http_req *req);
SUSPENDS void chat_message_again(struct http_req *req);
SUSPENDS void runs_list(struct http_req *req);
SUSPENDS void run_get(struct http_req *req);
SUSPENDS void run_events(struct http_req *req);
SUSPENDS void run_cancel(struct http_req *req);
SUSPENDS void run_resume_post(struct http_req *req);
SUSPENDS void run_calls_get(struct http_req *req);
SUSPENDS void operator_items_list(struct http_req *req);
SUSPENDS void operator_item_get(struct http_req *req);
SUSPENDS void operator_item_resolve(struct http_req *req);

/* plugins_api.c */
void plugins_list(struct http_req *req);
SUSPENDS void plugin_reload_post(struct http_req *req);

/* inbox_api.c */
SUSPENDS void inbox_items_list(struct http_req *req);
SUSPENDS void inbox_item_get(struct http_req *req);
SUSPENDS void inbox_item_read(struct http_req *req);
SUSPENDS void inbox_item_assign(struct http_req *req);
SUSPENDS void inbox_item_respond(struct http_req *req);
SUSPENDS void inbox_respond_many(struct http_req *req);
SUSPENDS void run_respond(struct http_req *req);
SUSPENDS void inbox_events(struct http_req *req);

SUSPENDS void ws_chat(struct http_req *req);

/* ticket_api.c */
SUSPENDS void ws_ticket_post(struct http_req *req);

/* files_api.c */
SUSPENDS void thread_files_list(struct http_req *req);
SUSPENDS void thread_file_upload(struct http_req *req);
SUSPENDS void file_download(struct http_req *req);
SUSPENDS void file_delete(struct http_req *req);

/* hooks_api.c */
SUSPENDS void webhooks_list(struct http_req *req);
SUSPENDS void webhooks_create(struct http_req *req);
SUSPENDS void webhook_read(struct http_req *req);
SUSPENDS void webhook_patch(struct http_req *req);
SUSPENDS void webhook_delete(struct http_req *req);
SUSPENDS void webhook_new_secret(struct http_req *req);
SUSPENDS void webhook_test(struct http_req *req);
SUSPENDS void webhook_deliveries(struct http_req *req);
SUSPENDS void webhook_delivery_replay(struct http_req *req);

/* triggers_api.c */
SUSPENDS void triggers_list(struct http_req *req);
SUSPENDS void triggers_create(struct http_req *req);
SUSPENDS void trigger_read(struct http_req *req);
SUSPENDS void trigger_patch(struct http_req *req);
SUSPENDS void trigger_delete(struct http_req *req);
SUSPENDS void trigger_new_secret(struct http_req *req);
SUSPENDS void trigger_post(struct http_req *req);

/* health_api.c, openapi.c, root.c */
void health_live(struct http_req *req);
void health_ready(struct http_req *req);
void health_metrics(struct http_req *req);
void openapi_document(struct http_req *req);
void root_redirect(struct http_req *req);
void root_demo(struct http_req *req);
void root_ws_echo(struct http_req *req);

#endif
