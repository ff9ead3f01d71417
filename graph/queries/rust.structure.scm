; Definitions, documentation, imports and the types of variables. Captures: see backstory/graph/parse.py.

(struct_item name: (type_identifier) @name body: (_)? @body) @class
(enum_item name: (type_identifier) @name body: (_) @body) @class
(union_item name: (type_identifier) @name body: (_) @body) @class
(trait_item name: (type_identifier) @name body: (_) @body) @class
(type_item name: (type_identifier) @name) @class
(function_item name: (identifier) @name body: (_) @body) @function
(function_signature_item name: (identifier) @name) @function
(macro_definition name: (identifier) @name) @function
(impl_item type: (_) @name body: (_) @body) @scope
(mod_item name: (identifier) @name body: (_) @body) @space

((attribute_item) @wrapper . [
  (struct_item) (enum_item) (union_item) (trait_item) (type_item) (function_item) (function_signature_item) (macro_definition)] @wrapped)
((attribute_item) @wrapper . (attribute_item) @wrapped)

((line_comment) @doc (#match? @doc "^///"))
((block_comment) @doc (#match? @doc "^/\\*\\*"))

(mod_item name: (identifier) @import.module @import.alias !body) @import
(use_declaration argument: (identifier) @import.module) @import
(use_declaration argument: (scoped_identifier path: (_) @import.module name: (_) @import.name)) @import
(use_declaration argument: (use_as_clause path: (scoped_identifier path: (_) @import.module name: (_) @import.name) alias: (_) @import.alias)) @import
(use_declaration argument: (use_as_clause path: (identifier) @import.module alias: (_) @import.alias)) @import
(use_declaration argument: (use_wildcard (_) @import.module) @import.star) @import
; Lists of names, in lists, as deep as people write them.
(use_declaration argument: (scoped_use_list path: (_) @import.module list: (use_list [(identifier) (self)] @import.name))) @import
(use_declaration argument: (scoped_use_list path: (_) @import.module list: (use_list (scoped_identifier path: (_) @import.module name: (_) @import.name)))) @import
(use_declaration argument: (scoped_use_list path: (_) @import.module list: (use_list (use_as_clause path: [(identifier) (self)] @import.name alias: (_) @import.alias)))) @import
(use_declaration argument: (scoped_use_list path: (_) @import.module list: (use_list (use_as_clause path: (scoped_identifier path: (_) @import.module name: (_) @import.name) alias: (_) @import.alias)))) @import
(use_declaration argument: (scoped_use_list path: (_) @import.module list: (use_list (use_wildcard (_)? @import.module) @import.star))) @import
(use_declaration argument: (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list [(identifier) (self)] @import.name))))) @import
(use_declaration argument: (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list (scoped_identifier path: (_) @import.module name: (_) @import.name)))))) @import
(use_declaration argument: (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list (use_as_clause path: [(identifier) (self)] @import.name alias: (_) @import.alias)))))) @import
(use_declaration argument: (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list (use_as_clause path: (scoped_identifier path: (_) @import.module name: (_) @import.name) alias: (_) @import.alias)))))) @import
(use_declaration argument: (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list (use_wildcard (_)? @import.module) @import.star))))) @import
(use_declaration argument: (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list [(identifier) (self)] @import.name))))))) @import
(use_declaration argument: (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list (scoped_identifier path: (_) @import.module name: (_) @import.name)))))))) @import
(use_declaration argument: (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list (use_as_clause path: [(identifier) (self)] @import.name alias: (_) @import.alias)))))))) @import
(use_declaration argument: (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list (use_as_clause path: (scoped_identifier path: (_) @import.module name: (_) @import.name) alias: (_) @import.alias)))))))) @import
(use_declaration argument: (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list (use_wildcard (_)? @import.module) @import.star))))))) @import
(use_declaration argument: (use_list (identifier) @import.module)) @import
(use_declaration argument: (use_list (scoped_identifier path: (_) @import.module name: (_) @import.name))) @import
(use_declaration argument: (use_list (use_as_clause path: (identifier) @import.module alias: (_) @import.alias))) @import
(use_declaration argument: (use_list (use_as_clause path: (scoped_identifier path: (_) @import.module name: (_) @import.name) alias: (_) @import.alias))) @import
(use_declaration argument: (use_list (use_wildcard (_)? @import.module) @import.star)) @import
(use_declaration argument: (use_list (scoped_use_list path: (_) @import.module list: (use_list [(identifier) (self)] @import.name)))) @import
(use_declaration argument: (use_list (scoped_use_list path: (_) @import.module list: (use_list (scoped_identifier path: (_) @import.module name: (_) @import.name))))) @import
(use_declaration argument: (use_list (scoped_use_list path: (_) @import.module list: (use_list (use_as_clause path: [(identifier) (self)] @import.name alias: (_) @import.alias))))) @import
(use_declaration argument: (use_list (scoped_use_list path: (_) @import.module list: (use_list (use_as_clause path: (scoped_identifier path: (_) @import.module name: (_) @import.name) alias: (_) @import.alias))))) @import
(use_declaration argument: (use_list (scoped_use_list path: (_) @import.module list: (use_list (use_wildcard (_)? @import.module) @import.star)))) @import
(use_declaration argument: (use_list (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list [(identifier) (self)] @import.name)))))) @import
(use_declaration argument: (use_list (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list (scoped_identifier path: (_) @import.module name: (_) @import.name))))))) @import
(use_declaration argument: (use_list (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list (use_as_clause path: [(identifier) (self)] @import.name alias: (_) @import.alias))))))) @import
(use_declaration argument: (use_list (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list (use_as_clause path: (scoped_identifier path: (_) @import.module name: (_) @import.name) alias: (_) @import.alias))))))) @import
(use_declaration argument: (use_list (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list (use_wildcard (_)? @import.module) @import.star)))))) @import
(use_declaration argument: (use_list (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list [(identifier) (self)] @import.name)))))))) @import
(use_declaration argument: (use_list (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list (scoped_identifier path: (_) @import.module name: (_) @import.name))))))))) @import
(use_declaration argument: (use_list (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list (use_as_clause path: [(identifier) (self)] @import.name alias: (_) @import.alias))))))))) @import
(use_declaration argument: (use_list (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list (use_as_clause path: (scoped_identifier path: (_) @import.module name: (_) @import.name) alias: (_) @import.alias))))))))) @import
(use_declaration argument: (use_list (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list (scoped_use_list path: (_) @import.module list: (use_list (use_wildcard (_)? @import.module) @import.star)))))))) @import

(field_declaration name: (field_identifier) @typed.own type: (_) @type)
(parameter pattern: (identifier) @typed type: (_) @type)
(parameter pattern: (mut_pattern (identifier) @typed) type: (_) @type)
(let_declaration pattern: [(identifier) @typed (mut_pattern (identifier) @typed)] type: (_) @type)
(let_declaration pattern: (identifier) @typed !type value: (call_expression function: (_) @made))
(let_declaration pattern: (identifier) @typed !type value: (try_expression (call_expression function: (_) @made)))
(let_declaration pattern: (identifier) @typed !type value: (reference_expression value: (call_expression function: (_) @made)))
(let_declaration pattern: (identifier) @typed !type value: (await_expression (call_expression function: (_) @made)))
(let_declaration pattern: (identifier) @typed !type value: (struct_expression name: (_) @type))
(function_item name: (identifier) @returns return_type: (_) @type)
(function_signature_item name: (identifier) @returns return_type: (_) @type)
